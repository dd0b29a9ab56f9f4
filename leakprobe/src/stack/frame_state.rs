//! What one machine instruction does to the stack pointer and the frame pointer.

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

/// The register that a value was counted from, as it was where the walk began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Rsp,
    Rbp,
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `origin + offset`.
    Address(Origin, i64),
    /// The eight bytes that were in memory at `origin + offset`.
    Loaded(Origin, i64),
    Unknown,
}

impl Value {
    fn plus(self, offset: i64) -> Self {
        match self {
            Value::Address(origin, at) => {
                at.checked_add(offset).map_or(Value::Unknown, |at| Value::Address(origin, at))
            }
            _ => Value::Unknown,
        }
    }

    fn merge(self, other: Self) -> Self {
        match self == other {
            true => self,
            false => Value::Unknown,
        }
    }
}

/// What is known at one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub sp: Value,
    pub bp: Value,
    /// Address at which the value of rbp that a function has to give back was saved, and that value:
    /// the first one, but for functions that were jumped to from an end (tail calls).
    pub saved_bp: Value,
    saved: Value,
    /// r11, which stack probes compare rsp with.
    r11: Value,
    /// The flags come from comparing rsp with r11.
    compared: bool,
    /// rsp modulo 16 at the calls on the way here, counted from where the walk began.
    calls: Calls,
}

/// The stack's alignment at calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    None,
    At(i64),
    /// Not the same at each: no compiler makes such code.
    Differ,
}

impl State {
    /// Where a walk begins.
    pub fn start() -> Self {
        Self {
            sp: Value::Address(Origin::Rsp, 0),
            bp: Value::Address(Origin::Rbp, 0),
            saved_bp: Value::Unknown,
            saved: Value::Unknown,
            r11: Value::Unknown,
            compared: false,
            calls: Calls::None,
        }
    }

    /// Whether the calls on the way were made as they have to be if the return address lies at
    /// `origin's rsp + to_return`: rsp is a multiple of 16 there (System V ABI, 3.2.2), so that the return
    /// address lies 8 above one.
    pub fn calls_allow(self, to_return: i64) -> bool {
        match self.calls {
            Calls::None => true,
            Calls::At(at) => to_return.wrapping_sub(at).rem_euclid(16) == 8,
            Calls::Differ => false,
        }
    }

    /// What holds on both of two ways.
    pub fn merge(self, other: Self) -> Self {
        Self {
            sp: self.sp.merge(other.sp),
            bp: self.bp.merge(other.bp),
            saved_bp: self.saved_bp.merge(other.saved_bp),
            saved: self.saved.merge(other.saved),
            r11: self.r11.merge(other.r11),
            compared: self.compared && other.compared,
            calls: match self.calls == other.calls {
                true => self.calls,
                false => Calls::None,
            },
        }
    }

    /// The state after a conditional jump that was not taken.
    pub fn not_taken(mut self, jump: &Instruction) -> Self {
        // The end of a stack probe's loop (-fstack-clash-protection, rustc): `cmp rsp, r11; jne`.
        if self.compared && jump.mnemonic() == Mnemonic::Jne {
            self.sp = self.r11;
        }
        self
    }

    /// The state after `instruction`, which is neither jump nor return. Calls and system calls leave
    /// rsp and rbp as they found them.
    pub fn after(mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) -> Self {
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            self.r11 = Value::Unknown;
            self.compared = false;
            if let (true, Value::Address(Origin::Rsp, at)) =
                (instruction.mnemonic() == Mnemonic::Call, self.sp)
            {
                let at = Calls::At(at.rem_euclid(16));
                self.calls = match self.calls {
                    Calls::None => at,
                    before if before == at => at,
                    _ => Calls::Differ,
                };
            }
            return self;
        }
        let before = self;
        let writes = |register: Register| {
            move |used: &&iced_x86::UsedRegister| {
                used.register().full_register() == register
                    && !matches!(
                        used.access(),
                        OpAccess::None | OpAccess::Read | OpAccess::CondRead
                    )
            }
        };
        let used = info.info(instruction).used_registers();
        let written = |register| used.iter().find(writes(register)).is_some();
        if written(Register::RSP) {
            self.sp = before.sp_after(instruction);
        }
        if written(Register::RBP) {
            self.bp = before.bp_after(instruction);
        }
        if written(Register::R11) {
            self.r11 = before.computed(instruction);
        }
        self.compared = instruction.mnemonic() == Mnemonic::Cmp
            && instruction.op0_register() == Register::RSP
            && instruction.op1_register() == Register::R11
            || before.compared && instruction.rflags_modified() == 0 && self.sp == before.sp;
        self.note_save(instruction, before);
        self
    }

    fn sp_after(self, instruction: &Instruction) -> Value {
        match instruction.mnemonic() {
            Mnemonic::Leave => self.bp.plus(8),
            Mnemonic::Pop | Mnemonic::Enter if instruction.op0_register() == Register::RSP => {
                Value::Unknown
            }
            Mnemonic::Enter => Value::Unknown,
            _ => match instruction.stack_pointer_increment() {
                0 => self.computed(instruction),
                by => self.sp.plus(i64::from(by)),
            },
        }
    }

    fn bp_after(self, instruction: &Instruction) -> Value {
        let loaded = |from: Value| match from {
            _ if from == self.saved_bp && from != Value::Unknown => self.saved,
            Value::Address(origin, at) => Value::Loaded(origin, at),
            _ => Value::Unknown,
        };
        match instruction.code() {
            Code::Leaveq => loaded(self.bp),
            Code::Pop_r64 => loaded(self.sp),
            Code::Mov_r64_rm64 if instruction.op1_kind() == OpKind::Memory => {
                loaded(self.address_of_memory(instruction))
            }
            _ => self.computed(instruction),
        }
    }

    /// The value that a 64-bit move, addition or address computation leaves in its first operand.
    fn computed(self, instruction: &Instruction) -> Value {
        let immediate = || match instruction.op1_kind() {
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
                Some(instruction.immediate(1).cast_signed())
            }
            _ => None,
        };
        let operand = |index| match instruction.op_kind(index) {
            OpKind::Register => self.register(instruction.op_register(index)),
            _ => Value::Unknown,
        };
        if !instruction.op0_register().is_gpr64() {
            return Value::Unknown;
        }
        match (instruction.mnemonic(), immediate()) {
            (Mnemonic::Mov, None) => operand(1),
            (Mnemonic::Lea, None) => self.address_of_memory(instruction),
            (Mnemonic::Add, Some(by)) => operand(0).plus(by),
            (Mnemonic::Sub, Some(by)) => {
                (by.checked_neg()).map_or(Value::Unknown, |by| operand(0).plus(by))
            }
            _ => Value::Unknown,
        }
    }

    fn register(self, register: Register) -> Value {
        match register {
            Register::RSP => self.sp,
            Register::RBP => self.bp,
            Register::R11 => self.r11,
            _ => Value::Unknown,
        }
    }

    /// `[rsp + x]`, `[rbp + x]`.
    fn address_of_memory(self, instruction: &Instruction) -> Value {
        let plain = instruction.memory_index() == Register::None
            && instruction.segment_prefix() == Register::None;
        match plain {
            true => self
                .register(instruction.memory_base())
                .plus(instruction.memory_displacement64().cast_signed()),
            false => Value::Unknown,
        }
    }

    /// Notes where rbp is saved, and forgets it where that place is given up.
    fn note_save(&mut self, instruction: &Instruction, before: State) {
        let worth = match before.bp {
            Value::Address(Origin::Rbp, 0) | Value::Loaded(..) => before.saved_bp == Value::Unknown,
            _ => false,
        };
        let to = match instruction.code() {
            Code::Push_r64 if instruction.op0_register() == Register::RBP => self.sp,
            Code::Mov_rm64_r64
                if instruction.op0_kind() == OpKind::Memory
                    && instruction.op1_register() == Register::RBP =>
            {
                before.address_of_memory(instruction)
            }
            _ => Value::Unknown,
        };
        if worth && to != Value::Unknown {
            self.saved_bp = to;
            self.saved = before.bp;
        }
        if let (Value::Address(a, sp), Value::Address(b, saved)) = (self.sp, self.saved_bp)
            && a == b
            && saved < sp
        {
            self.saved_bp = Value::Unknown;
        }
    }
}
