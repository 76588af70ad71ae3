//! A bar chart as SVG, from lines `GROUP<TAB>STACK<TAB>MEDIAN<TAB>LEAST<TAB>MOST` on stdin: a group of bars for each work, a bar for each stack,
//! with a whisker from the least to the most of all rounds.

use std::io::Read;

use anyhow::Context;
use clap::Parser;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 340);
/// Of a group's width, what its bars take together.
const FILLED: f64 = 0.8;
const COLORS: [RGBColor; 5] = [
    RGBColor(30, 90, 180),
    RGBColor(90, 90, 90),
    RGBColor(180, 180, 180),
    RGBColor(230, 140, 40),
    RGBColor(190, 70, 60),
];

/// Draws a bar chart
#[derive(Debug, Parser)]
struct Options {
    /// Above the chart
    #[arg(long)]
    title: String,
    /// Beside the vertical axis
    #[arg(long)]
    unit: String,
    /// A logarithmic vertical axis
    #[arg(long)]
    log: bool,
    /// The SVG file
    output: String,
}

struct Bar {
    group: usize,
    stack: usize,
    median: f64,
    least: f64,
    most: f64,
}

/// What is drawn: names in the order in which they came.
#[derive(Default)]
struct Bars {
    groups: Vec<String>,
    stacks: Vec<String>,
    bars: Vec<Bar>,
}

impl Bars {
    fn parse(text: &str) -> anyhow::Result<Bars> {
        let mut bars = Bars::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[group, stack, median, least, most] = &fields[..] else { anyhow::bail!("no bar: {line}") };
            let bar = Bar {
                group: index(&mut bars.groups, group),
                stack: index(&mut bars.stacks, stack),
                median: median.parse()?,
                least: least.parse()?,
                most: most.parse()?,
            };
            bars.bars.push(bar);
        }
        anyhow::ensure!(!bars.bars.is_empty(), "nothing to draw");
        Ok(bars)
    }

    /// The left and the right edge of a bar.
    fn edges(&self, bar: &Bar) -> (f64, f64) {
        let width = FILLED / self.stacks.len() as f64;
        let left = bar.group as f64 + (1.0 - FILLED) / 2.0 + bar.stack as f64 * width;
        (left, left + width * 0.9)
    }
}

fn index(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let bars = Bars::parse(&text)?;
    let root = SVGBackend::new(&options.output, SIZE).into_drawing_area();
    draw(&root, &options, &bars)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| options.output.clone())
}

fn draw(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    options: &Options,
    bars: &Bars,
) -> Result<(), Box<dyn std::error::Error>> {
    // A logarithmic axis is a plain one of exponents.
    let log = options.log;
    let height = |value: f64| if log { value.log10() } else { value };
    let most = bars.bars.iter().map(|bar| height(bar.most)).fold(0.0, f64::max) * 1.2;
    let least = bars.bars.iter().map(|bar| height(bar.least)).fold(f64::MAX, f64::min);
    let floor = if log { least.floor() } else { 0.0 };
    let label = |height: &f64| if log { format!("{:.0}", 10f64.powf(*height)) } else { format!("{height}") };
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(&options.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..bars.groups.len() as f64, floor..most)?;
    name_groups(&chart, root, bars);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .disable_x_axis()
        .y_desc(&options.unit)
        .y_label_formatter(&label)
        .light_line_style(WHITE)
        .draw()?;
    for (stack, name) in bars.stacks.iter().enumerate() {
        let color = COLORS[stack % COLORS.len()];
        let own = bars.bars.iter().filter(|bar| bar.stack == stack);
        let boxes = own.clone().map(|bar| {
            let (left, right) = bars.edges(bar);
            Rectangle::new([(left, floor), (right, height(bar.median))], color.filled())
        });
        let key = move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], color.filled());
        chart.draw_series(boxes)?.label(name).legend(key);
        chart.draw_series(own.map(|bar| {
            let (left, right) = bars.edges(bar);
            let middle = (left + right) / 2.0;
            PathElement::new([(middle, height(bar.least)), (middle, height(bar.most))], BLACK)
        }))?;
    }
    let place = SeriesLabelPosition::UpperRight;
    chart
        .configure_series_labels()
        .position(place)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

/// The name of each group below its bars.
fn name_groups(
    chart: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    bars: &Bars,
) {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let area = chart.plotting_area().get_pixel_range();
    let style = TextStyle::from(("sans-serif", 13)).pos(Pos::new(HPos::Center, VPos::Top));
    let width = f64::from(area.0.end - area.0.start) / bars.groups.len() as f64;
    for (group, name) in bars.groups.iter().enumerate() {
        let x = area.0.start + ((group as f64 + 0.5) * width) as i32;
        // A label that does not fit is no reason to have no plot.
        let _ = root.draw(&Text::new(name.as_str(), (x, area.1.end + 8), style.clone()));
    }
}
