//! What cases found, by class, and what they found together.
use std::collections::BTreeMap;
use std::fmt;

use spandrel_engine::Rerank;
use spandrel_index::codes::CodeSpec;

use super::case::Case;

/// Classes of fault that one case can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An index of fewer than k vectors refused to answer.
    RefusedK,
    /// A build or another search was refused.
    Refused,
    /// A build or a search panicked.
    Panicked,
    /// Fewer than k neighbours, or than there are vectors, and no limit is named for it.
    TooFew,
    /// A limit is named that was not given, or that cut nothing short.
    WrongLimit,
    /// More lists than the limit.
    OverLimit,
    /// A distance that is not the vector's, or an estimate where none was asked for.
    WrongDistance,
    /// An id that no vector has.
    NoSuchId,
    /// An id twice in an answer.
    Repeated,
    /// Neighbours out of order.
    WrongOrder,
    /// Parts of a sound index that count as damaged.
    Damaged,
    /// All lists, all vectors compared, and not the nearest.
    NotExact,
    /// A query found less in more lists.
    FellWithLists,
    /// A query found less although more was compared.
    FellWithRerank,
    /// The queries of a case together found less by a quarter under more errors.
    FellFarWithErrors,
}

/// What should not fall on average, by what might make it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trend(String);

impl Trend {
    /// Recall as errors grow to `errors`.
    pub fn errors(case: &Case, errors: f32) -> Trend {
        Trend(format!("{} {} to {errors} errors", family(case.code), case.metric))
    }

    /// The share found within a radius, less the share asked for.
    pub fn within(case: &Case) -> Trend {
        Trend(format!("{} {} within a radius", family(case.code), case.metric))
    }

    /// Recall as estimates are allowed.
    pub fn estimates(case: &Case, rule: Rerank) -> Trend {
        let rule = match rule {
            Rerank::Errors(errors) => format!("{errors} errors"),
            Rerank::Count(_) => "a count".to_owned(),
        };
        Trend(format!("{} estimates by {rule}", family(case.code)))
    }
}

/// The name of a code without its sizes.
fn family(code: CodeSpec) -> String {
    let name = code.to_string();
    name.split(':').next().unwrap_or(&name).to_owned()
}

/// Sums of a figure, for its mean and the error of that.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.merge(Sums { count: 1.0, sum: value, squares: value * value });
    }

    fn merge(&mut self, other: Sums) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn mean(self) -> f64 {
        self.sum / self.count
    }

    /// The standard error of the mean.
    fn error(self) -> f64 {
        let variance = (self.squares / self.count - self.mean().powi(2)).max(0.0);
        (variance / self.count).sqrt()
    }
}

/// What one case or many found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Faults of the case at hand, each class once.
    faults: BTreeMap<Fault, String>,
    trends: BTreeMap<Trend, Sums>,
    defaults: BTreeMap<String, Sums>,
}

impl Findings {
    /// The faults, a line or two for each.
    pub fn lines(&self, case: &Case) -> Vec<String> {
        self.faults.iter().map(|(fault, what)| format!("{fault:?}: {case}\n      {what}")).collect()
    }

    /// Notes a fault; the first of a class is kept.
    pub fn fault(&mut self, fault: Fault, what: String) {
        self.faults.entry(fault).or_insert(what);
    }

    /// Notes by how much a figure that must not fall rose.
    pub fn trend(&mut self, trend: Trend, rise: f64) {
        self.trends.entry(trend).or_default().add(rise);
    }

    /// Notes the recall of each query under the index's own parameters.
    pub fn default_recall(&mut self, case: &Case, recall: Vec<f64>) {
        let calibrated = if case.calibrated { "calibrated" } else { "not calibrated" };
        let key = format!("{} {calibrated}", family(case.code));
        let sums = self.defaults.entry(key).or_default();
        sums.add(recall.iter().sum::<f64>() / recall.len() as f64);
    }
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that were run.
    pub cases: u64,
    /// Faults by class: how many cases, and the first of them with what it showed.
    pub faults: BTreeMap<Fault, Vec<String>>,
    trends: BTreeMap<Trend, Sums>,
    defaults: BTreeMap<String, Sums>,
}

impl Report {
    /// Takes in what a case found.
    pub fn add(&mut self, case: &Case, found: Findings) {
        self.cases += 1;
        for (fault, what) in found.faults {
            self.faults.entry(fault).or_default().push(format!("{case}\n      {what}"));
        }
        for (trend, sums) in found.trends {
            self.trends.entry(trend).or_default().merge(sums);
        }
        for (key, sums) in found.defaults {
            self.defaults.entry(key).or_default().merge(sums);
        }
    }

    /// What fell on average by more than three standard errors, estimates by more than 0.02 besides.
    pub fn falling(&self) -> Vec<String> {
        let falls = |trend: &Trend, sums: &Sums| {
            let allowed = if trend.0.contains("estimates") { 0.02 } else { 0.0 };
            sums.mean() + allowed < -3.0 * sums.error()
        };
        self.trends
            .iter()
            .filter(|(trend, sums)| falls(trend, sums))
            .map(|(trend, &sums)| line(&trend.0, sums))
            .collect()
    }
}

fn line(name: &str, sums: Sums) -> String {
    format!("{name:<32} {:+.4} ± {:.4} over {}", sums.mean(), sums.error(), sums.count)
}

/// Examples shown of a class.
const SHOWN: usize = 5;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} cases", self.cases)?;
        writeln!(f, "\nrecall under the index's own parameters:")?;
        self.defaults.iter().try_for_each(|(name, &sums)| writeln!(f, "  {}", line(name, sums)))?;
        writeln!(f, "\nrise of recall:")?;
        self.trends.iter().try_for_each(|(trend, &sums)| writeln!(f, "  {}", line(&trend.0, sums)))?;
        let falling = self.falling();
        writeln!(f, "\nfaults by class, with {SHOWN} cases of each:")?;
        for (fault, cases) in &self.faults {
            writeln!(f, "  {fault:?}: {} cases", cases.len())?;
            cases.iter().take(SHOWN).try_for_each(|what| writeln!(f, "    {what}"))?;
        }
        falling.iter().try_for_each(|line| writeln!(f, "  fell on average: {line}"))?;
        if self.faults.is_empty() && falling.is_empty() {
            writeln!(f, "  none")?;
        }
        Ok(())
    }
}
