//! A statement as comma-separated text.

use std::{collections::BTreeSet, fmt::Write};

use domain::SeriesId;

use super::{CorrectionLine, Direction, EpochLine, Line, Statement};
use crate::rulings::Ruling;

impl Statement {
    /// Comma-separated, one row per epoch and per correction; one column of credit (2^-64 sat, less what was taken) for
    /// every series that occurs. The columns of credit add up to the account's accumulators, `payment_sats` and
    /// `paid_correction_sats` together to `paid_total_sats`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let series: BTreeSet<SeriesId> = self.lines.iter().flat_map(series_of).collect();
        let mut text = String::from("epoch,state");
        for id in &series {
            let _ = write!(text, ",credit_series_{}", id.0);
        }
        text.push_str(
            ",earned_sats,paid_total_sats,owed_sats,payment_sats,output,proven,received_sats,\
             paid_correction_sats,fault,fault_epoch,court_tx\n",
        );
        for line in &self.lines {
            match line {
                Line::Epoch(line) => epoch(&mut text, line, &series),
                Line::Correction(line) => correction(&mut text, line, &series),
            }
        }
        text
    }
}

fn series_of(line: &Line) -> Vec<SeriesId> {
    match line {
        Line::Epoch(line) => {
            line.credit.iter().chain(&line.taken).map(|each| each.series).collect()
        }
        Line::Correction(line) => line.series.into_iter().collect(),
    }
}

fn epoch(text: &mut String, line: &EpochLine, series: &BTreeSet<SeriesId>) {
    let _ = write!(text, "{},{}", line.epoch, line.state);
    for id in series {
        let of = |list: &[domain::SeriesAcc]| {
            list.iter().find(|credit| credit.series == *id).map(|credit| credit.acc)
        };
        let taken = of(&line.taken).map(|taken| format!(",-{taken}"));
        text.push_str(&taken.unwrap_or_else(|| format!(",{}", of(&line.credit).unwrap_or(0))));
    }
    let balance = line.balance;
    let _ = write!(text, ",{},{},{}", balance.earned, balance.paid, balance.owed);
    let payment = line.payment.as_ref();
    let sats = payment.map_or(0, |paid| paid.sats);
    let received = payment.map_or(0, |paid| paid.received);
    let output = payment.and_then(|paid| paid.output);
    let output = output.map(|output| output.to_string()).unwrap_or_default();
    let proven = payment.is_some_and(|paid| paid.proven);
    let minus = if line.paid_taken > 0 { "-" } else { "" };
    let _ = write!(text, ",{sats},{output},{proven},{received},{minus}{}", line.paid_taken);
    rulings(text, &line.rulings);
}

fn correction(text: &mut String, line: &CorrectionLine, series: &BTreeSet<SeriesId>) {
    let state = if line.pending { "correction-pending" } else { "correction" };
    let _ = write!(text, "{},{state}", line.epoch);
    let minus = match line.direction {
        Direction::TakenBack if line.counted > 0 => "-",
        _ => "",
    };
    let amount = format!("{minus}{}", line.counted);
    for id in series {
        let own = line.series == Some(*id);
        let _ = write!(text, ",{}", if own { &amount } else { "0" });
    }
    let balance = line.balance;
    let _ = write!(text, ",{},{},{},0,,false,0", balance.earned, balance.paid, balance.owed);
    let _ = write!(text, ",{}", if line.series.is_none() { &amount } else { "0" });
    rulings(text, std::slice::from_ref(&line.ruling));
}

/// Several stand behind one another, with spaces between.
fn rulings(text: &mut String, list: &[Ruling]) {
    let join =
        |each: &dyn Fn(&Ruling) -> String| list.iter().map(each).collect::<Vec<String>>().join(" ");
    let _ = writeln!(
        text,
        ",{},{},{}",
        join(&|ruling| ruling.fault.to_owned()),
        join(&|ruling| ruling.fault_epoch.to_string()),
        join(&|ruling| ruling.court_tx.to_string())
    );
}
