//! Debug groups: which commands belong to which layer, and to which stage of it, for those who look at a capture of a frame.
//!
//! A group is opened for each stage of a layer, never for a step: a step is one dispatch among thousands.

use std::sync::Arc;

/// The command with which a stage of a layer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    command: usize,
    layer: Arc<str>,
    stage: &'static str,
}

/// The groups of a list of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    layer: Arc<str>,
    marks: Vec<Mark>,
}

impl Groups {
    /// From here on everything belongs to a layer.
    pub(crate) fn begin_layer(&mut self, layer: &Arc<str>) {
        self.layer = Arc::clone(layer);
    }

    /// From this command on everything belongs to a stage of the layer.
    pub(crate) fn begin_stage(&mut self, stage: &'static str, command: usize) {
        // a stage without a command has no group
        self.marks.pop_if(|mark| mark.command == command);
        let goes_on = |mark: &Mark| mark.layer == self.layer && mark.stage == stage;
        if !self.marks.last().is_some_and(goes_on) {
            self.marks.push(Mark {
                command,
                layer: Arc::clone(&self.layer),
                stage,
            });
        }
    }

    /// A walk along the commands, from the first on.
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk {
            marks: &self.marks,
            next: 0,
            open: None,
        }
    }

    /// The layers and stages, in order.
    #[cfg(any(test, feature = "tracing"))]
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.marks.iter().map(|mark| (&*mark.layer, mark.stage))
    }
}

/// What groups can be opened in: an encoder, or a pass of it.
pub(crate) trait Grouped {
    fn open(&mut self, label: &str);
    fn close(&mut self);
}

impl Grouped for wgpu::CommandEncoder {
    fn open(&mut self, label: &str) {
        #[cfg(test)]
        opened::note(label);
        self.push_debug_group(label);
    }

    fn close(&mut self) {
        self.pop_debug_group();
    }
}

impl Grouped for wgpu::ComputePass<'_> {
    fn open(&mut self, label: &str) {
        #[cfg(test)]
        opened::note(label);
        self.push_debug_group(label);
    }

    fn close(&mut self) {
        self.pop_debug_group();
    }
}

/// Which groups are open while commands are encoded. What is opened in an encoder or a pass is closed there.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    marks: &'a [Mark],
    next: usize,
    open: Option<&'a Mark>,
}

impl<'a> Walk<'a> {
    /// Opens and closes what has to be open for this command.
    pub(crate) fn go(&mut self, command: usize, to: &mut impl Grouped) {
        let begins = |mark: &Mark| mark.command <= command;
        let is_there = self.open.is_some() || self.next == 0;
        if is_there && !self.marks.get(self.next).is_some_and(begins) {
            return;
        }
        while self.marks.get(self.next).is_some_and(begins) {
            self.next += 1;
        }
        let wanted = self.next.checked_sub(1).and_then(|last| self.marks.get(last));
        self.change(wanted, to);
    }

    /// Closes everything.
    pub(crate) fn end(&mut self, to: &mut impl Grouped) {
        self.change(None, to);
    }

    fn change(&mut self, wanted: Option<&'a Mark>, to: &mut impl Grouped) {
        let same_layer = |one: &Mark, other: &Mark| one.layer == other.layer;
        let goes_on = self
            .open
            .zip(wanted)
            .is_some_and(|(open, wanted)| same_layer(open, wanted));
        if self.open.is_some() {
            to.close();
            if !goes_on {
                to.close();
            }
        }
        if let Some(mark) = wanted {
            if !goes_on {
                to.open(&mark.layer);
            }
            to.open(mark.stage);
        }
        self.open = wanted;
    }
}

/// What was opened by a thread, for tests: `wgpu` tells nobody.
#[cfg(test)]
pub(crate) mod opened {
    use std::cell::RefCell;

    thread_local!(static LABELS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

    pub(super) fn note(label: &str) {
        LABELS.with_borrow_mut(|labels| labels.push(label.to_owned()));
    }

    pub(crate) fn take() -> Vec<String> {
        LABELS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard {
        said: Vec<String>,
        depth: usize,
    }

    impl Grouped for Heard {
        fn open(&mut self, label: &str) {
            self.said.push(label.to_owned());
            self.depth += 1;
        }

        fn close(&mut self) {
            self.said.push("-".to_owned());
            self.depth -= 1;
        }
    }

    #[test]
    fn groups_follow_the_commands_and_are_closed_where_they_were_opened() {
        let mut groups = Groups::default();
        groups.begin_layer(&"one".into());
        groups.begin_stage("empty", 0);
        groups.begin_stage("gather", 0);
        groups.begin_stage("step", 2);
        groups.begin_stage("step", 4); // goes on
        groups.begin_layer(&"two".into());
        groups.begin_stage("step", 6);
        let mut walk = groups.walk();
        let (mut pass, mut next) = (Heard::default(), Heard::default());
        (0..5).for_each(|command| walk.go(command, &mut pass));
        walk.end(&mut pass);
        assert_eq!(pass.said, ["one", "gather", "-", "step", "-", "-"]);
        (5..8).for_each(|command| walk.go(command, &mut next));
        walk.end(&mut next);
        assert_eq!(next.said, ["one", "step", "-", "-", "two", "step", "-", "-"]);
        assert_eq!((pass.depth, next.depth), (0, 0));
        let stages: Vec<_> = groups.stages().collect();
        assert_eq!(stages, [("one", "gather"), ("one", "step"), ("two", "step")]);
    }

    #[test]
    fn commands_of_no_layer_have_no_group() {
        let mut heard = Heard::default();
        let groups = Groups::default();
        let mut walk = groups.walk();
        (0..3).for_each(|command| walk.go(command, &mut heard));
        walk.end(&mut heard);
        assert!(heard.said.is_empty());
    }
}
