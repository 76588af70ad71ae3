//! Plots of windows over time as SVG, drawn by `plotters`.

use plotters::prelude::*;
use tidegate::base::time::Instant;
use tidegate::sim::flows::Sample;

use crate::common::SEGMENT;

const SIZE: (u32, u32) = (800, 320);
/// Thresholds above this multiple of the largest window are off the plot.
const HEADROOM: f64 = 1.1;

/// The window, the threshold and the queue of one flow, in segments.
pub fn windows(title: &str, samples: &[Sample]) -> String {
    let mut svg = String::new();
    draw(&mut svg, title, samples).expect("a string takes everything");
    svg
}

fn draw(svg: &mut String, title: &str, samples: &[Sample]) -> Result<(), Box<dyn std::error::Error>> {
    let seconds = |sample: &Sample| sample.at.since(Instant::ZERO).as_secs_f64();
    let segments = |bytes: f64| bytes / SEGMENT as f64;
    let last = samples.last().map_or(1.0, seconds);
    let largest = samples.iter().map(|sample| sample.window.max(sample.queue as u32)).max().unwrap_or(1);
    let top = segments(f64::from(largest)) * HEADROOM;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..last, 0.0..top)?;
    chart.configure_mesh().x_desc("seconds").y_desc("segments").light_line_style(WHITE).draw()?;
    let window = samples.iter().map(|sample| (seconds(sample), segments(f64::from(sample.window))));
    let threshold =
        samples.iter().map(|sample| (seconds(sample), segments(f64::from(sample.ssthresh)).min(top)));
    let queue = samples.iter().map(|sample| (seconds(sample), segments(sample.queue as f64)));
    let lines = [
        ("queue", RGBColor(180, 180, 180), queue.collect::<Vec<_>>()),
        ("ssthresh", RGBColor(230, 140, 40), threshold.collect()),
        ("cwnd", RGBColor(30, 90, 180), window.collect()),
    ];
    for (name, color, points) in lines {
        let line = LineSeries::new(points, color.stroke_width(if name == "cwnd" { 2 } else { 1 }));
        let key = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2));
        chart.draw_series(line)?.label(name).legend(key);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}
