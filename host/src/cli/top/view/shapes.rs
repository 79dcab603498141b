//! Lines, gauges and charts made of characters.
//!
//! Invariant: what is made for a width is never wider, whatever the text is made of.

use super::theme::Theme;
use ratatui::{
    style::Style,
    text::{Line, Span},
};

/// Eighths of a cell, from the bottom.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How the values of several buckets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Mean,
    Largest,
}

/// How high a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// From half of the least value on, for values that differ by orders of magnitude.
    Log,
}

/// The columns that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text that is cut to a width, with a mark where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        // The whole is measured, because some characters change the width of the one before them.
        if width_of(&cut) >= width {
            cut.pop();
            break;
        }
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A text in a column of that width, cut or filled up.
pub(super) fn left(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let gap = width - width_of(&text);
    text + &" ".repeat(gap)
}

/// The same, at the right edge.
pub(super) fn right(text: &str, width: usize) -> String {
    let text = cut(text, width);
    " ".repeat(width - width_of(&text)) + &text
}

/// Cuts the spans of a line to a width.
pub(in crate::cli::top) fn fit(spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut room = width;
    let mut kept = Vec::new();
    for span in spans {
        let columns = span.width();
        if columns <= room {
            room -= columns;
            kept.push(span);
        } else {
            kept.push(Span::styled(cut(&span.content, room), span.style));
            break;
        }
    }
    Line::from(kept)
}

/// A line with a left part, which is cut, and a right one, which is left out where there is no room for it.
pub(in crate::cli::top) fn split(
    start: Vec<Span<'static>>,
    end: Vec<Span<'static>>,
    width: usize,
) -> Line<'static> {
    let end_width: usize = end.iter().map(Span::width).sum();
    if end_width + 1 > width {
        return fit(if end_width > 0 && end_width <= width { end } else { start }, width);
    }
    let start = fit(start, width - end_width - 1);
    let gap = width - end_width - start.width();
    let mut spans = start.spans;
    spans.push(Span::raw(" ".repeat(gap)));
    spans.extend(end);
    Line::from(spans)
}

/// Words in lines of a width. A word that is longer is cut.
pub(in crate::cli::top) fn wrap(text: &str, width: usize, style: Style) -> Vec<Line<'static>> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width_of(line) + 1 + width_of(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines.into_iter().map(|line| Line::styled(line, style)).collect()
}

/// How full something is: the part in use is heavy, and marks stand at shares of the whole.
pub(super) fn gauge(
    width: usize,
    share: f64,
    marks: &[f64],
    style: Style,
    theme: Theme,
) -> Vec<Span<'static>> {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let halves = (share * 2.0 * width as f64).round() as usize;
    // What is in use is seen, however little it is.
    let halves = if share > 0.0 { halves.max(1) } else { 0 };
    let marked: Vec<usize> =
        marks.iter().map(|mark| ((mark * width as f64) as usize).min(width.saturating_sub(1))).collect();
    let cells = (0..width).map(|cell| {
        let is_marked = marked.contains(&cell);
        match (halves.saturating_sub(2 * cell), is_marked) {
            (0, true) => Span::styled("┼", theme.dim()),
            (0, false) => Span::styled("─", theme.dim()),
            (_, true) => Span::styled("┿", style),
            (1, false) => Span::styled("╾", style),
            _ => Span::styled("━", style),
        }
    });
    cells.collect()
}

/// Folds values into columns, the last one at the right. Buckets that several columns would need stay as they are.
pub(super) fn columns(values: &[Option<f64>], width: usize, fold: Fold) -> Vec<Option<f64>> {
    if width == 0 {
        return Vec::new();
    }
    let buckets = values.len().div_ceil(width).max(1);
    let mut columns: Vec<Option<f64>> = values
        .rchunks(buckets)
        .map(|chunk| {
            let known: Vec<f64> = chunk.iter().flatten().copied().collect();
            match fold {
                _ if known.is_empty() => None,
                Fold::Mean => Some(known.iter().sum::<f64>() / known.len() as f64),
                Fold::Largest => Some(known.iter().copied().fold(f64::MIN, f64::max)),
            }
        })
        .collect();
    columns.reverse();
    columns
}

/// A chart of columns, from the top row to the bottom, as wide as `width`. Zero is the base line, and nothing is no value.
pub(super) fn chart(
    values: &[Option<f64>],
    (width, rows): (usize, usize),
    fold: Fold,
    scale: Scale,
) -> Vec<String> {
    let values = columns(values, width, fold);
    let known = || values.iter().flatten().copied().filter(|value| *value > 0.0);
    let top = known().fold(0.0, f64::max);
    let bottom = known().fold(top, f64::min) / 2.0;
    let levels = rows * LEVELS.len();
    let height = |value: f64| {
        let share = match scale {
            _ if value <= 0.0 => 0.0,
            Scale::Linear => value / top,
            Scale::Log => (value / bottom).ln() / (top / bottom).ln(),
        };
        ((share * levels as f64).round() as usize).clamp(1, levels)
    };
    let pad = " ".repeat(width.saturating_sub(values.len()));
    let row = |row: usize| {
        let below = (rows - 1 - row) * LEVELS.len();
        let cell = |value: &Option<f64>| match value.map(|value| height(value).saturating_sub(below)) {
            None | Some(0) => ' ',
            Some(level) => LEVELS[level.min(LEVELS.len()) - 1],
        };
        pad.clone() + &values.iter().map(cell).collect::<String>()
    };
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(spans: &[Span<'_>]) -> String {
        spans.iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn a_gauge_shows_half_cells_and_marks() {
        let of = |share| text(&gauge(8, share, &[0.5, 0.99], Style::new(), Theme::Plain));
        assert_eq!(of(0.0), "────┼──┼");
        assert_eq!(of(0.001), "╾───┼──┼");
        assert_eq!(of(0.44), "━━━╾┼──┼");
        assert_eq!(of(1.7), "━━━━┿━━┿");
        assert_eq!(of(f64::NAN), "────┼──┼");
        assert_eq!(text(&gauge(0, 0.5, &[0.5], Style::new(), Theme::Plain)), "");
    }

    #[test]
    fn a_chart_ends_at_the_right_and_its_highest_column_is_full() {
        let linear = |values: &[_], width, rows| chart(values, (width, rows), Fold::Mean, Scale::Linear);
        let values = [None, Some(0.0), Some(4.0), Some(8.0)];
        assert_eq!(linear(&values, 6, 1), ["   ▁▄█"]);
        assert_eq!(linear(&values, 4, 2), ["   █", " ▁██"]);
        assert_eq!(linear(&values, 2, 1), ["▁█"], "two buckets in a column");
        assert_eq!(columns(&values, 2, Fold::Mean), [Some(0.0), Some(6.0)]);
        assert_eq!(columns(&values, 2, Fold::Largest), [Some(0.0), Some(8.0)]);
        assert_eq!(linear(&[], 3, 1), ["   "]);
        assert_eq!(linear(&values, 0, 1).len(), 1);
        let times = [Some(1.0), Some(1000.0), None, Some(0.0)];
        assert_eq!(chart(&times, (4, 1), Fold::Largest, Scale::Log), ["▁█ ▁"]);
        assert_eq!(chart(&[Some(5.0)], (1, 1), Fold::Largest, Scale::Log), ["█"]);
    }

    #[test]
    fn texts_are_cut_by_the_columns_that_they_take() {
        assert_eq!(
            [cut("abcdef", 4), cut("abc", 4), cut("日本語", 4), cut("abc", 0)],
            ["abc…", "abc", "日…", ""]
        );
        assert_eq!([left("日", 4), right("日", 4), right("abcdef", 3)], ["日  ", "  日", "ab…"]);
        let of = |width| text(&split(vec!["start".into()], vec!["end".into()], width).spans);
        assert_eq!([of(12), of(7), of(3), of(2)], ["start    end", "st… end", "end", "s…"]);
        let lines: Vec<_> = wrap("a word and anotherlongword", 8, Style::new())
            .iter()
            .map(|line| text(&line.spans))
            .collect();
        assert_eq!(lines, ["a word", "and", "another…"]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked_for(text in "\\PC{0,30}", width in 0usize..40, values in proptest::collection::vec(proptest::option::of(0.0..1e9f64), 0..400)) {
            prop_assert!(width_of(&cut(&text, width)) <= width);
            prop_assert_eq!(width_of(&right(&cut(&text, width), width)), width);
            prop_assert!(split(vec![text.clone().into()], vec!["end".into()], width).width() <= width);
            prop_assert!(wrap(&text, width, Style::new()).iter().all(|line| line.width() <= width));
            for scale in [Scale::Linear, Scale::Log] {
                for row in chart(&values, (width, 2), Fold::Largest, scale) {
                    prop_assert_eq!(width_of(&row), width);
                }
            }
        }
    }
}
