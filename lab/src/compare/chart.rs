//! The figures as a picture: processor time per request, a bar for each server, a block for each
//! case with a scale of its own.

use std::fmt::Write as _;

use super::report::{CaseReport, Report, Row};

/// All sizes are in pixels.
const WIDTH: f64 = 820.0;
const NAME: f64 = 170.0;
const VALUE: f64 = 150.0;
const BAR: f64 = 20.0;
const GAP: f64 = 6.0;
const TITLE: f64 = 34.0;

/// The report as SVG.
pub(super) fn draw(report: &Report) -> String {
    let mut blocks = String::new();
    let mut top = 52.0;
    for case in report.cases.iter().filter(|case| largest(case) > 0.0) {
        top = block(&mut blocks, case, top);
    }
    let height = top + GAP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"16\">Processor time per request, in microseconds: \
         less is better</text>\n\
         <text x=\"10\" y=\"42\" fill=\"#666666\">{}</text>\n{blocks}</svg>\n",
        escaped(&report.told())
    )
}

fn largest(case: &CaseReport) -> f64 {
    let values = case.rows.iter().filter_map(value);
    values.fold(0.0, f64::max)
}

fn value(row: &Row) -> Option<f64> {
    row.processor_us.map(|spread| spread.median)
}

/// Draws a case from this height on. Returns where the next one begins.
fn block(out: &mut String, case: &CaseReport, top: f64) -> f64 {
    let scale = (WIDTH - NAME - VALUE) / largest(case);
    let mut y = top + TITLE;
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{}</text>",
        y - GAP,
        escaped(&case.title)
    );
    for row in &case.rows {
        let Some(value) = value(row) else { continue };
        let colour = match row.server.as_str() {
            "bare hyper" | "nginx" => "#9aa5b1",
            "wasmtime serve" => "#d9822b",
            _ => "#2b6cb0",
        };
        let (text, length) = (y + BAR - GAP, value * scale);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAME}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{value:.1}</text>",
            NAME - GAP,
            escaped(&row.server),
            NAME + length + GAP
        );
        y += BAR + GAP;
    }
    y
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::cases::Case;
    use super::super::report::Sample;
    use super::super::servers::Contender;
    use super::*;

    #[test]
    fn the_longest_bar_fits_and_the_others_are_in_proportion() {
        let sample = |us| Sample {
            processor_us: Some(us),
            ..Sample::default()
        };
        let servers = [Contender::Hyper, Contender::Wasmtime, Contender::Raxx];
        let round = vec![sample(10.0), sample(100.0), Sample::default()];
        let case = CaseReport::new(Case::Hello, &servers, &[round]);
        let mut out = String::new();
        let end = block(&mut out, &case, 0.0);
        assert!(
            out.contains("width=\"500.0\"") && out.contains("width=\"50.0\""),
            "{out}"
        );
        // What was not measured has no bar.
        assert_eq!(out.matches("<rect").count(), 2);
        assert!((end - (TITLE + 2.0 * (BAR + GAP))).abs() < 1e-9);
    }
}
