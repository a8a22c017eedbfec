//! A machine that runs the few operations of pickles that state dicts are written in.

use std::collections::HashMap;
use std::rc::Rc;

use super::globals::Global;
use super::opcode;
use super::rebuild;
use super::value::{Arena, Value};
use crate::error::{Error, Result};
use crate::format::file::File;

/// How many values, containers and remembered values there may be: a state dict has about ten for each tensor.
const MOST: usize = 1 << 20;

pub(super) struct Machine<'p> {
    bytes: &'p [u8],
    /// Of the operation that runs, and of what is read next.
    at: usize,
    next: usize,
    arena: Arena,
    stack: Vec<Value>,
    /// Where on the stack each open mark stands.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    file: &'p File<'p>,
}

impl<'p> Machine<'p> {
    /// What a pickle makes, with the value on top.
    pub(super) fn run(bytes: &'p [u8], file: &'p File<'p>) -> Result<(Arena, Value)> {
        let mut machine = Self {
            bytes,
            at: 0,
            next: 0,
            arena: Arena::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            file,
        };
        machine.arena.list(Vec::new()); // the empty tuple
        loop {
            machine.at = machine.next;
            let [opcode] = machine.take()?;
            if opcode == b'.' {
                let top = machine.pop()?;
                return Ok((machine.arena, top));
            }
            machine.step(opcode)?;
            machine.check_size()?;
        }
    }

    fn check_size(&self) -> Result<()> {
        let arena = &self.arena;
        let counts = [
            self.stack.len(),
            self.marks.len(),
            self.memo.len(),
            arena.lists.len(),
            arena.dicts.len(),
        ];
        match counts.iter().all(|count| *count <= MOST) {
            true => Ok(()),
            false => Err(self.wrong(format!("at most {MOST} values"), "more of them".to_owned())),
        }
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => self.take::<1>().map(drop), // PROTO
            0x95 => self.take::<8>().map(drop), // FRAME: operations follow in any case
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(opcode),
            b'X' | 0x8c | 0x8d => self.text(opcode),
            b')' => self.push(Value::Tuple(0)),
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_tuple(items)
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_tuple(items)
            }
            b']' => {
                let list = self.arena.list(Vec::new());
                self.push(Value::List(list))
            }
            b'}' => {
                let dict = self.arena.dict();
                self.push(Value::Dict(dict))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b's' => {
                let entry = self.pop_many(2)?;
                self.set_items(entry)
            }
            b'u' => {
                let entries = self.pop_to_mark()?;
                self.set_items(entries)
            }
            b'q' | b'r' | 0x94 => self.remember(opcode),
            b'h' | b'j' => self.recall(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'Q' | b'R' | b'b' => self.build(opcode),
            opcode => Err(self.wrong(
                "the operations that a state dict is written in".to_owned(),
                format!("{} ({opcode:#04x})", opcode::name(opcode)),
            )),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'K' => Value::Int(i64::from(u8::from_le_bytes(self.take()?))),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.take()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take()?))),
            b'G' => self.take::<8>().map(|_| Value::Float)?,
            _ => {
                // LONG1: so many bytes, the least first, with a sign
                let [length] = self.take()?;
                let bytes = self.slice(usize::from(length))?;
                if bytes.len() > 8 {
                    return Err(self.wrong(
                        "whole numbers of at most 8 bytes".to_owned(),
                        format!("one of {length}"),
                    ));
                }
                let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) {
                    0xff
                } else {
                    0
                };
                let mut whole = [sign; 8];
                whole.iter_mut().zip(bytes).for_each(|(whole, byte)| *whole = *byte);
                Value::Int(i64::from_le_bytes(whole))
            }
        };
        self.push(value)
    }

    fn text(&mut self, opcode: u8) -> Result<()> {
        let length = match opcode {
            b'X' => u64::from(u32::from_le_bytes(self.take()?)),
            0x8c => u64::from(u8::from_le_bytes(self.take()?)),
            _ => u64::from_le_bytes(self.take()?),
        };
        let bytes = self.slice(usize::try_from(length).unwrap_or(usize::MAX))?;
        match std::str::from_utf8(bytes) {
            Ok(text) => self.push(Value::Text(Rc::from(text))),
            Err(error) => Err(self.wrong("a text in UTF-8".to_owned(), error.to_string())),
        }
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<()> {
        let tuple = self.arena.list(items);
        self.push(Value::Tuple(tuple))
    }

    fn append(&mut self, items: Vec<Value>) -> Result<()> {
        match self.stack.last() {
            Some(Value::List(list)) => {
                if let Some(list) = self.arena.lists.get_mut(*list) {
                    list.extend(items);
                }
                Ok(())
            }
            other => Err(self.wrong("a list to append to".to_owned(), class(other))),
        }
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<()> {
        let dict = match self.stack.last() {
            Some(Value::Dict(dict)) => *dict,
            other => return Err(self.wrong("a dict to set items of".to_owned(), class(other))),
        };
        if !items.len().is_multiple_of(2) {
            return Err(self.wrong("a value for each key".to_owned(), format!("{} of both", items.len())));
        }
        let mut items = items.into_iter();
        if let Some(dict) = self.arena.dicts.get_mut(dict) {
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                dict.push((key, value));
            }
        }
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            b'q' => u32::from(u8::from_le_bytes(self.take()?)),
            b'r' => u32::from_le_bytes(self.take()?),
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        match self.stack.last() {
            Some(value) => {
                self.memo.insert(index, value.clone());
                Ok(())
            }
            None => Err(self.wrong("a value to remember".to_owned(), "none".to_owned())),
        }
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            b'h' => u32::from(u8::from_le_bytes(self.take()?)),
            _ => u32::from_le_bytes(self.take()?),
        };
        match self.memo.get(&index).cloned() {
            Some(value) => self.push(value),
            None => Err(self.wrong(
                "a value that was remembered".to_owned(),
                format!("number {index}, which was not"),
            )),
        }
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let (module, name) = match opcode {
            b'c' => (self.line()?.to_owned(), self.line()?.to_owned()),
            _ => match self.pop_many(2)?.as_slice() {
                [Value::Text(module), Value::Text(name)] => (module.to_string(), name.to_string()),
                _ => return Err(self.wrong("two texts".to_owned(), "something else".to_owned())),
            },
        };
        match Global::of(&module, &name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(self.unknown_global(&module, &name)),
        }
    }

    fn build(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'Q' {
            let id = self.pop()?;
            let storage =
                rebuild::storage(&mut self.arena, &id).map_err(|(expected, found)| self.wrong(expected, found))?;
            return self.push(storage);
        }
        let pair = self.pop_many(2)?;
        let (Some(first), Some(second)) = (pair.first(), pair.get(1)) else {
            return Err(Error::defect("two values of a stack"));
        };
        let made = match opcode {
            b'R' => rebuild::called(&mut self.arena, first, second),
            // `_metadata` of a state dict, which says the versions of its modules
            _ => match (first, second) {
                (Value::Dict(_), Value::Dict(_)) => Ok(first.clone()),
                (other, _) => Err((
                    "an OrderedDict to set attributes of".to_owned(),
                    other.class().to_owned(),
                )),
            },
        };
        let made = made.map_err(|(expected, found)| self.wrong(expected, found))?;
        self.push(made)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        let mut popped = self.pop_many(1)?;
        popped.pop().ok_or_else(|| Error::defect("a value of a stack"))
    }

    /// The values on top, not beyond the last mark.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count).filter(|from| *from >= bottom) {
            Some(from) => Ok(self.stack.split_off(from)),
            None => Err(self.wrong(format!("{count} values"), format!("{}", self.stack.len() - bottom))),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark.min(self.stack.len()))),
            None => Err(self.wrong("a mark".to_owned(), "none".to_owned())),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.slice(N)?;
        bytes.try_into().map_err(|_| Error::defect("so many bytes"))
    }

    fn slice(&mut self, length: usize) -> Result<&'p [u8]> {
        let end = self.next.checked_add(length);
        match end.and_then(|end| Some((end, self.bytes.get(self.next..end)?))) {
            Some((end, bytes)) => {
                self.next = end;
                Ok(bytes)
            }
            None => Err(self.wrong(
                format!("{length} bytes more"),
                format!("the end after {}", self.bytes.len().saturating_sub(self.next)),
            )),
        }
    }

    fn line(&mut self) -> Result<&'p str> {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = self.slice(end.unwrap_or(usize::MAX))?;
        self.next += 1;
        std::str::from_utf8(line).map_err(|error| self.wrong("a name".to_owned(), error.to_string()))
    }

    fn wrong(&self, expected: String, found: String) -> Error {
        self.file.content(
            format!("data.pkl, byte {}", self.at),
            expected,
            found,
            "save the state dict alone: `torch.save(model.state_dict(), path)`",
        )
    }

    /// The error of a class or function that no state dict has.
    fn unknown_global(&self, module: &str, name: &str) -> Error {
        let short = |text: &str| text.chars().take(100).collect::<String>();
        let whole = ["torch.nn.", "__main__", "__torch__"]
            .iter()
            .any(|begin| module.starts_with(begin));
        let what = match whole {
            true => ", a module of PyTorch as a whole: its program is not in the file",
            false => "",
        };
        self.file.content(
            format!("data.pkl, byte {}", self.at),
            "tensors, dicts, tuples, numbers and texts alone",
            format!("{}.{}{what}", short(module), short(name)),
            "in Python, `model = torch.load(path, weights_only=False)` and `torch.save(model.state_dict(), path)` keep the weights \
             alone; load only files that you trust that way",
        )
    }
}

fn class(value: Option<&Value>) -> String {
    value.map_or("nothing", Value::class).to_owned()
}
