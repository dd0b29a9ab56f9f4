//! Rows of call frame information that framehop can't express: the CFA by a DWARF expression
//! (functions that realign their stack, PLT stubs), offsets that don't fit.

use std::sync::Arc;

use gimli::{
    CfaRule, DebugFrame, EhFrame, Encoding, EndianSlice, Evaluation, EvaluationResult, Expression,
    LittleEndian, Location, RegisterRule, UnwindExpression, Value, X86_64,
};

use super::{
    Window,
    frame_info::Table,
    walk::{Regs, Step},
};
use crate::snapshot::Unnamed;

/// Operations of one expression that are evaluated: an expression can loop.
const MAX_OPERATIONS: u32 = 256;

/// One row.
#[derive(Debug)]
pub(super) struct Rules {
    pub table: Table,
    /// The section that expressions lie in.
    pub section: Arc<[u8]>,
    pub encoding: Encoding,
    pub cfa: CfaRule<usize>,
    pub bp: Option<RegisterRule<usize>>,
    pub ra: Option<RegisterRule<usize>>,
}

impl Rules {
    /// One step up the stack.
    pub(super) fn step(&self, regs: &Regs, window: &Window) -> Step {
        self.caller(regs, window).unwrap_or_else(|step| step)
    }

    /// An error is the step that ends here.
    fn caller(&self, regs: &Regs, window: &Window) -> Result<Step, Step> {
        let cfa = match &self.cfa {
            CfaRule::RegisterAndOffset { register, offset } => {
                regs.get(*register)?.wrapping_add_signed(*offset)
            }
            CfaRule::Expression(expression) => self.evaluate(expression, None, regs, window)?,
        };
        let ip = self.register(self.ra.as_ref(), Some(regs.ip), cfa, regs, window)?;
        let bp = self.register(self.bp.as_ref(), regs.bp, cfa, regs, window)?;
        Ok(match ip {
            // No return address: by convention nothing has called this.
            Some(0) => Step::End,
            Some(ip) => Step::Caller(Regs { ip, sp: cfa, bp, di: None }),
            None => Step::Lost(Unnamed::NoUnwindInfo),
        })
    }

    fn register(
        &self,
        rule: Option<&RegisterRule<usize>>,
        same: Option<u64>,
        cfa: u64,
        regs: &Regs,
        window: &Window,
    ) -> Result<Option<u64>, Step> {
        Ok(match rule {
            // rbp is preserved across calls (x86-64 psABI): a row that is silent leaves it as it is.
            None | Some(RegisterRule::SameValue) => same,
            Some(RegisterRule::Offset(offset)) => {
                Some(word(window, cfa.wrapping_add_signed(*offset))?)
            }
            Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(*offset)),
            Some(RegisterRule::Register(register)) => Some(regs.get(*register)?),
            Some(RegisterRule::Expression(expression)) => {
                let at = self.evaluate(expression, Some(cfa), regs, window)?;
                Some(word(window, at)?)
            }
            Some(RegisterRule::ValExpression(expression)) => {
                Some(self.evaluate(expression, Some(cfa), regs, window)?)
            }
            _ => None,
        })
    }

    fn evaluate(
        &self,
        expression: &UnwindExpression<usize>,
        initial: Option<u64>,
        regs: &Regs,
        window: &Window,
    ) -> Result<u64, Step> {
        const LOST: Step = Step::Lost(Unnamed::NoUnwindInfo);
        let expression: Expression<EndianSlice<LittleEndian>> = match self.table {
            Table::EhFrame => expression.get(&EhFrame::new(&self.section, LittleEndian)),
            Table::DebugFrame => expression.get(&DebugFrame::new(&self.section, LittleEndian)),
        }
        .map_err(|_| LOST)?;
        let mut evaluation = Evaluation::new(expression.0, self.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut state = evaluation.evaluate().map_err(|_| LOST)?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(regs.get(register)?);
                    evaluation.resume_with_register(value).map_err(|_| LOST)?
                }
                EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                    let value = Value::Generic(word(window, address)?);
                    evaluation.resume_with_memory(value).map_err(|_| LOST)?
                }
                _ => return Err(LOST),
            };
        }
        match evaluation.as_result().last().map(|piece| piece.location) {
            Some(Location::Address { address }) => Ok(address),
            _ => Err(LOST),
        }
    }
}

impl Regs {
    fn get(&self, register: gimli::Register) -> Result<u64, Step> {
        match register {
            X86_64::RSP => Ok(self.sp),
            X86_64::RA => Ok(self.ip),
            X86_64::RBP => self.bp.ok_or(Step::Lost(Unnamed::NoBasePointer)),
            X86_64::RDI => self.di.ok_or(Step::Lost(Unnamed::NoUnwindInfo)),
            _ => Err(Step::Lost(Unnamed::NoUnwindInfo)),
        }
    }
}

fn word(window: &Window, address: u64) -> Result<u64, Step> {
    window.word(address).ok_or(Step::Needs(address))
}
