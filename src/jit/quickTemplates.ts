import type { Helper, HelperCalls } from '../isa/builder.js';
import { decode } from '../isa/decoder.js';
import type { Decoded, Flow } from '../isa/instruction.js';
import { Thread } from '../sync/records/thread.js';
import {
  call,
  Encoding,
  Expression,
  FunctionBuilder,
  type FunctionRef,
  i32,
  i64,
  type Local,
  type ValueType,
} from '../wasm/index.js';
import { accessOf } from './accessGroups.js';
import { QuickBuilder, type QuickFrame } from './quickBuilder.js';

/**
 * Templates of the first tier: what a kind of instruction is in WebAssembly but for its registers, its immediate, the pc and the number of
 * instructions before it, which are written over copies. So it is translated once and copied from then on: the translator's
 * JavaScript is cold when it is needed most, and short programs are over before V8 has made it fast.
 */
export interface QuickTemplate {
  /**
   * The code. A branch leaves its condition on the stack, a jump through a register the target in `LOCALS.pc`; neither links nor goes
   * anywhere, and a direct jump is nothing at all.
   */
  readonly bytes: Uint8Array;
  readonly patches: readonly QuickPatch[];
  /** Where the index of a helper's function stands, in CALL_BYTES. */
  readonly calls: readonly { readonly at: number; readonly helper: Helper }[];
  /** Whether it reads or writes memory; whether it needs more locals than most. */
  readonly accesses: boolean;
  readonly more: boolean;
}

/** A place in a template where something is written over: a number in LEB128 of so many bytes, whatever it is. */
export interface QuickPatch {
  readonly at: number;
  readonly what: 'pc' | 'done' | 'immediate' | RegisterField;
  /** Of a register: offset of the first one of its kind in the Thread record. */
  readonly base: number;
}
type RegisterField = 'rd' | 'rs1' | 'rs2' | 'rs3';

/** An instruction of a program, and its template. */
export interface QuickInstruction {
  readonly decoded: Decoded;
  readonly length: number;
  readonly flow: Flow;
  readonly template: QuickTemplate;
}

/** The locals of a region's function; its parameters are (thread, depth). Behind these come scratch locals. */
export const LOCALS = {
  thread: 0,
  depth: 1,
  pc: 2,
  /** Budget less the instructions counted. */
  count: 3,
  readTable: 4,
  writeTable: 5,
  tableMask: 6,
  beyond: 7,
  address: 8,
  entry: 9,
  /** What `count` was when instructions were last added to the thread's. */
  base: 10,
  /** The first of those for groups of accesses. */
  group: 11,
} as const;
/** Groups of accesses at a time. */
export const MOST_GROUPS = 4;
const FIXED: readonly ValueType[] = [
  ...(['i64', 'i32', 'i32', 'i32', 'i32', 'i64', 'i64', 'i32', 'i32'] as const),
  ...new Array<ValueType>(MOST_GROUPS).fill('i32'),
];
const SCRATCH: readonly ValueType[] = ['i64', 'i64', 'i64', 'i64', 'i64', 'i32', 'i32', 'i32', 'i32'];
/** What only long instructions need, floating-point ones most of all. */
const MORE_SCRATCH: readonly ValueType[] = (['i64', 'i32', 'f64', 'f32'] as const).flatMap((type) =>
  new Array<ValueType>(8).fill(type),
);

/** The types of the locals behind the parameters. */
export function localsOf(more: boolean): readonly ValueType[] {
  return [...FIXED, ...SCRATCH, ...(more ? MORE_SCRATCH : [])];
}
const FIRST_MORE = 2 + FIXED.length + SCRATCH.length;

/** Instructions after which a loop looks around. */
export const BUDGET = 8192;

export const PC_BYTES = 6;
export const DONE_BYTES = 2;
export const CALL_BYTES = 5;
const PC = [0xa5, 0xdb, 0x96, 0xed, 0xb7, 0x2a];
const DONE = [0xb6, 0x2d];
const CALL = [0xa9, 0xd3, 0xe6, 0xbd];
export const IMMEDIATE_BYTES = 5;
const IMMEDIATE = [0xc7, 0x9a, 0xf1, 0xae, 0x05];
/** Of the offset of a register. */
export const REGISTER_BYTES = 3;
/** Offsets that stand for those of registers in a template: integer ones, and floating-point ones. Each takes REGISTER_BYTES. */
const REGISTERS: Readonly<Record<RegisterField, readonly [number, number]>> = {
  rd: [1_001_113, 1_112_227],
  rs1: [1_223_339, 1_334_441],
  rs2: [1_445_557, 1_556_663],
  rs3: [1_667_773, 1_778_887],
};
/** Immediates of these kinds are written over; others are part of what makes a template. */
const PATCHED = new Set(['I', 'S', 'U', 'shift6', 'shift5']);

/** Instructions that are remembered: those of the code of a large program. */
const MOST_KNOWN = 50_000;

/** Makes templates for a machine with host pages of 2^`hostPageShift` bytes. `leave` is the function for what is left to the interpreter. */
export class QuickTemplates {
  private readonly known = new Map<number, QuickInstruction>();
  private readonly templates = new Map<number, QuickTemplate>();
  private extensions = 0;

  constructor(
    private readonly hostPageShift: number,
    private readonly leave: FunctionRef,
  ) {}

  /** The instruction of 16 or 32 bits; undefined when it is illegal on a processor with the `extensions`. */
  of(raw: number, extensions: number): QuickInstruction | undefined {
    if (extensions !== this.extensions) {
      // In practice all code is for one processor.
      this.known.clear();
      this.extensions = extensions;
    }
    let known = this.known.get(raw);
    if (known === undefined) {
      const decoded = decode(raw, extensions);
      if (decoded?.instruction.semantics === undefined) return undefined;
      const { length, instruction } = decoded;
      known = { decoded, length, flow: instruction.flow, template: this.templateOf(decoded) };
      if (this.known.size >= MOST_KNOWN) this.known.clear();
      this.known.set(raw, known);
    }
    return known;
  }

  private templateOf(decoded: Decoded): QuickTemplate {
    const { instruction, rd, rs1, rs2, rs3, rm, length, immediate } = decoded;
    // What the builder looks at.
    let key = instruction.index * 8 + rm;
    for (const yes of [rd === 0, rs1 === 0, rs2 === 0, rs3 === 0, rs1 === rs2, immediate === 0, length === 2])
      key = key * 2 + (yes ? 1 : 0);
    const isPatched = PATCHED.has(instruction.immediate) || instruction.flow !== 'next';
    key = key * 4096 + (isPatched ? 0 : immediate & 4095);
    let template = this.templates.get(key);
    if (template === undefined) {
      template = this.make(decoded);
      this.templates.set(key, template);
    }
    return template;
  }

  private make(decoded: Decoded, semantics = decoded.instruction.semantics!): QuickTemplate {
    const helpers: Helper[] = [];
    const f = new FunctionBuilder({ params: ['i32', 'i32'], results: ['i32'] });
    const frame = this.frame(f, helpers);
    let ends: number | undefined;
    const builder = new QuickBuilder(frame, decoded, {
      branch: (condition) => {
        // Without what drops it.
        f.drop(condition);
        ends = f.code.length - 1;
      },
      jump: () => undefined,
      jumpTo: (target) => f.set(frame.pc, target),
    });
    semantics(builder);
    builder.finish();
    const bytes = f.code.slice(0, ends);
    // The longest ones of half precision are left to the interpreter.
    if (f.localCount > FIRST_MORE + MORE_SCRATCH.length) return this.make(decoded, (b) => b.exit('illegal'));
    const patches: QuickPatch[] = [];
    const find = (what: QuickPatch['what'], pattern: readonly number[], base = 0, behind = 0): void => {
      for (const at of placesOf(bytes, pattern)) patches.push({ at: at + behind, what, base });
    };
    find('pc', PC);
    // Behind the pc, the base and the opcode of a constant.
    find('done', [...PC, 0x20, LOCALS.base, 0x41, ...DONE], 0, PC_BYTES + 3);
    find('immediate', IMMEDIATE);
    for (const [field, [x, float]] of Object.entries(REGISTERS)) {
      find(field as RegisterField, lebOf(x), Thread.x);
      find(field as RegisterField, lebOf(float), Thread.f);
    }
    return {
      bytes,
      patches,
      calls: helpers.flatMap((helper, i) => placesOf(bytes, [...CALL, i]).map((at) => ({ at, helper }))),
      accesses: accessOf(decoded) !== undefined,
      more: frame.usesMore(),
    };
  }

  private frame(
    f: FunctionBuilder,
    helpers: Helper[],
  ): QuickFrame & { pc: Local<'i64'>; usesMore(): boolean } {
    const locals = localsOf(true).map((type) => f.local(type));
    const at = <T extends ValueType>(index: number): Local<T> => locals[index - 2] as unknown as Local<T>;
    let more = false;
    const scratch = locals.slice(FIXED.length);
    for (const local of scratch.reverse()) f.release(local);
    const thread = f.param('i32', 0);
    const useHelper: HelperCalls = (helper, ...operands) => {
      let index = helpers.indexOf(helper);
      if (index < 0) index = helpers.push(helper) - 1;
      const callee = new Uint8Array([...CALL, index]);
      return new Expression(
        helper.result,
        call({ index: 0, type: { params: [], results: [] } }, helper.result).opcode,
        operands,
        Encoding.Bytes,
        0,
        0,
        callee,
      );
    };
    const pcConstant = (): Expression<'i64'> =>
      new Expression('i64', i64.const(0).opcode, [], Encoding.Bytes, 0, 0, new Uint8Array(PC));
    const doneConstant = new Expression(
      'i32',
      i32.const(0).opcode,
      [],
      Encoding.Bytes,
      0,
      0,
      new Uint8Array(DONE),
    );
    return {
      f,
      thread,
      pc: at(LOCALS.pc),
      readTable: at(LOCALS.readTable),
      writeTable: at(LOCALS.writeTable),
      tableMask: at(LOCALS.tableMask),
      beyond: at(LOCALS.beyond),
      address: at(LOCALS.address),
      entry: at(LOCALS.entry),
      hostPageShift: this.hostPageShift,
      useHelper,
      pcConstant,
      immediateConstant: (decoded) =>
        !PATCHED.has(decoded.instruction.immediate) || decoded.immediate === 0
          ? i64.const(decoded.immediate)
          : new Expression('i64', i64.const(0).opcode, [], Encoding.Bytes, 0, 0, new Uint8Array(IMMEDIATE)),
      offsetOf: (field, float) => REGISTERS[field][float ? 1 : 0],
      usesMore: () => more,
      noteLocal: ({ index }) => {
        more ||= index >= FIRST_MORE;
      },
      aside: () => {
        const done = i32.sub(i32.add(at<'i32'>(LOCALS.base), doneConstant), at<'i32'>(LOCALS.count));
        f.returnCall(this.leave, thread, f.param('i32', 1), pcConstant(), done);
      },
    };
  }
}

/** An offset in LEB128. */
function lebOf(offset: number): number[] {
  return [(offset & 0x7f) | 0x80, ((offset >>> 7) & 0x7f) | 0x80, offset >>> 14];
}

/** Where `pattern` stands in `bytes`. */
function placesOf(bytes: Uint8Array, pattern: readonly number[]): number[] {
  const places: number[] = [];
  for (let at = 0; at + pattern.length <= bytes.length; at++)
    if (pattern.every((byte, i) => bytes[at + i] === byte)) places.push(at);
  return places;
}

if (
  IMMEDIATE.length !== IMMEDIATE_BYTES ||
  PC.length !== PC_BYTES ||
  DONE.length !== DONE_BYTES ||
  CALL.length + 1 !== CALL_BYTES
)
  throw new Error('templates are wrong');
