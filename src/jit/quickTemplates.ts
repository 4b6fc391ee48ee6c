import type { Helper, HelperCalls } from '../isa/builder.js';
import { decode } from '../isa/decoder.js';
import type { Decoded, Flow } from '../isa/instruction.js';
import { Thread } from '../sync/records/thread.js';
import {
  call,
  Encoding,
  Expression,
  FunctionBuilder,
  type I32,
  i32,
  i64,
  type Local,
  type ValueType,
} from '../wasm/index.js';
import { accessOf, SIZES } from './accessGroups.js';
import {
  QuickBuilder,
  type QuickFrame,
  RECENT_RS1,
  RECENT_RS2,
  type RecentOperands,
} from './quickBuilder.js';
import type { TemplateTable } from './templateTable.js';

/**
 * Templates of the first tier: what a kind of instruction is in WebAssembly but for its registers, its immediate, the pc and the number of
 * instructions before it, which are written over copies. So it is translated once and copied from then on: the translator's
 * JavaScript is cold when it is needed most, and short programs are over before V8 has made it fast.
 */
export interface QuickTemplate {
  /**
   * The code. A branch leaves its condition on the stack, or the contrary of it; a jump through a register the target in `LOCALS.address`;
   * neither links nor goes anywhere, and a direct jump is nothing at all.
   */
  readonly bytes: Uint8Array;
  /** Whether it is the contrary of the branch's condition. */
  readonly isContrary: boolean;
  /** How many `if`s are open behind it: where they do not hold, the instruction is to be left aside. */
  readonly guards: number;
  readonly patches: readonly QuickPatch[];
  /** Where the index of a helper's function stands, in CALL_BYTES. */
  readonly calls: readonly { readonly at: number; readonly helper: Helper }[];
  /** Whether it reads or writes memory. */
  readonly accesses: boolean;
  /** Whether `LOCALS.address` holds what rd does behind it. */
  readonly keepsResult: boolean;
  /** Locals and parameters that it needs: all up to the last that it uses. */
  readonly locals: number;
}

/** A place in a template where something is written over: a number in LEB128 of so many bytes, whatever it is. */
export interface QuickPatch {
  readonly at: number;
  readonly what: 'pc' | 'exit' | 'depth' | 'immediate' | RegisterField;
  /** Of a register: offset of the first one of its kind in the Thread record; of a depth: how many blocks of the template are open. */
  readonly base: number;
}
type RegisterField = 'rd' | 'rs1' | 'rs2' | 'rs3';

/** An instruction of a program, and its template. */
export interface QuickInstruction {
  readonly decoded: Decoded;
  readonly length: number;
  readonly flow: Flow;
  readonly template: QuickTemplate;
  /** Templates of it where operands were written by the instruction before, by which. */
  readonly recent: (QuickTemplate | undefined)[];
}

/**
 * The locals of a region's function; its parameters are (thread, depth). Behind these come scratch locals. V8's baseline compiler zeroes
 * them all, slowly, at each entry of a function that has more than these five.
 */
export const LOCALS = {
  thread: 0,
  depth: 1,
  /** BUDGET less the instructions that were counted since the region was entered, or went on behind a call. */
  count: 2,
  /** Of an access; where a jump through a register goes. */
  address: 3,
  /** Of the table, for an access; which entry of the region is entered; how a transfer ended. */
  entry: 4,
  /** The first of those for groups of accesses. */
  group: 5,
} as const;
/** Groups of accesses at a time. */
export const MOST_GROUPS = 2;
const FIXED: readonly ValueType[] = [
  ...(['i32', 'i64', 'i32'] as const),
  ...new Array<ValueType>(MOST_GROUPS).fill('i32'),
];
const SCRATCH: readonly ValueType[] = ['i64', 'i32', 'i64', 'i32', 'i64', 'i32', 'i64', 'i32', 'i64'];
/** What only long instructions need, floating-point ones most of all. */
const MORE_SCRATCH: readonly ValueType[] = (['i64', 'i32', 'f64', 'f32'] as const).flatMap((type) =>
  new Array<ValueType>(8).fill(type),
);
const ALL: readonly ValueType[] = [...FIXED, ...SCRATCH, ...MORE_SCRATCH];

/** Parameters and locals that every region has. */
export const LEAST_LOCALS = 2 + FIXED.length;

/** The types of the locals behind the parameters, so many in all. */
export function localsOf(locals: number): readonly ValueType[] {
  return ALL.slice(0, locals - 2);
}

/** Instructions after which a loop looks around. */
export const BUDGET = 8192;

export const PC_BYTES = 6;
/** Of where and after how many instructions a region is left aside: the distance from its first place, and EXIT_DONE_BITS for those not counted yet. */
export const EXIT_BYTES = 4;
export const EXIT_DONE_BITS = 10;
/** Of the depth of the label behind which it is. */
export const DEPTH_BYTES = 2;
export const CALL_BYTES = 5;
const PC = [0xa5, 0xdb, 0x96, 0xed, 0xb7, 0x2a];
const EXIT = new Uint8Array([0x80, 0x80, 0x80, 0x00]);
const DEPTH = new Uint8Array([0x80, 0x00]);
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
/** An offset in LEB128. */
function lebOf(offset: number): number[] {
  return [(offset & 0x7f) | 0x80, ((offset >>> 7) & 0x7f) | 0x80, offset >>> 14];
}

/** The same as they are written. */
const REGISTER_PATTERNS = (['rd', 'rs1', 'rs2', 'rs3'] as const).map(
  (field) => [field, lebOf(REGISTERS[field][0]), lebOf(REGISTERS[field][1])] as const,
);
/** Immediates of these kinds are written over; others are part of what makes a template. */
const PATCHED = new Set(['I', 'S', 'U', 'shift6', 'shift5']);

/** Instructions that are remembered: those of the code of a large program. */
const MOST_KNOWN = 50_000;

/** Makes templates for a machine with host pages of 2^`hostPageShift` bytes, or takes them from a table of some that were made before. */
export class QuickTemplates {
  private readonly known = new Map<number, QuickInstruction>();
  private readonly templates = new Map<number, QuickTemplate>();
  private extensions = 0;

  private readonly table: TemplateTable | undefined;

  constructor(
    readonly hostPageShift: number,
    table?: TemplateTable,
  ) {
    if (table?.hostPageShift === hostPageShift) this.table = table;
  }

  /** Those that were needed so far, by key. */
  get made(): ReadonlyMap<number, QuickTemplate> {
    return this.templates;
  }

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
      known = { decoded, length, flow: instruction.flow, template: this.templateOf(decoded), recent: [] };
      if (this.known.size >= MOST_KNOWN) this.known.clear();
      this.known.set(raw, known);
    }
    return known;
  }

  /** The template of an instruction behind one that has left what register `last` holds in `LOCALS.address`; 0: none has. */
  behind(known: QuickInstruction, last: number): QuickTemplate {
    if (last === 0) return known.template;
    const { decoded, recent, template } = known;
    const { instruction, rs1, rs2 } = decoded;
    let operands = 0;
    // What an access finds out about its address takes its place before anything else is looked at.
    if (rs1 === last && (!template.accesses || instruction.mnemonic in SIZES)) operands |= RECENT_RS1;
    if (rs2 === last && !template.accesses) operands |= RECENT_RS2;
    if (operands === 0) return template;
    const made = recent[operands] ?? this.templateOf(decoded, operands);
    recent[operands] = made;
    return made;
  }

  private templateOf(decoded: Decoded, recent: RecentOperands = 0): QuickTemplate {
    const { instruction, rd, rs1, rs2, rs3, rm, length, immediate } = decoded;
    // What the builder looks at.
    let key = instruction.index * 8 + rm;
    for (const yes of [rd === 0, rs1 === 0, rs2 === 0, rs3 === 0, rs1 === rs2, immediate === 0, length === 2])
      key = key * 2 + (yes ? 1 : 0);
    key = key * 4 + recent;
    const isPatched = PATCHED.has(instruction.immediate) || instruction.flow !== 'next';
    if (!isPatched) key += (immediate & 4095) * 2 ** 32;
    let template = this.templates.get(key);
    if (template === undefined) {
      template = this.table?.find(key) ?? this.make(decoded, recent);
      this.templates.set(key, template);
    }
    return template;
  }

  private make(
    decoded: Decoded,
    recent: RecentOperands,
    semantics = decoded.instruction.semantics!,
  ): QuickTemplate {
    const helpers: Helper[] = [];
    const f = new FunctionBuilder({ params: ['i32', 'i32'], results: ['i32'] });
    const patches: QuickPatch[] = [];
    const frame = this.frame(f, helpers, patches, recent);
    let ends: number | undefined;
    let isContrary = false;
    const builder = new QuickBuilder(frame, decoded, {
      branch: (condition) => {
        isContrary = condition.opcode === NOT;
        // Without what drops it.
        f.drop(isContrary ? (condition.operands[0] as I32) : condition);
        ends = f.code.length - 1;
      },
      jump: () => undefined,
      jumpTo: (target) => f.set(frame.address, target),
    });
    semantics(builder);
    builder.finish();
    const bytes = f.code.slice(0, ends);
    // The longest ones of half precision are left to the interpreter.
    if (f.localCount > 2 + ALL.length) return this.make(decoded, 0, (b) => b.exit('illegal'));
    const find = (what: QuickPatch['what'], pattern: readonly number[], base = 0): void => {
      for (const at of placesOf(bytes, pattern)) patches.push({ at, what, base });
    };
    find('pc', PC);
    find('immediate', IMMEDIATE);
    for (const [field, x, float] of REGISTER_PATTERNS) {
      find(field, x, Thread.x);
      find(field, float, Thread.f);
    }
    return {
      bytes,
      isContrary,
      guards: frame.guards(),
      patches,
      calls: helpers.flatMap((helper, i) => placesOf(bytes, [...CALL, i]).map((at) => ({ at, helper }))),
      accesses: accessOf(decoded) !== undefined,
      locals: frame.locals(),
      keepsResult: frame.keepsResult(),
    };
  }

  private frame(
    f: FunctionBuilder,
    helpers: Helper[],
    patches: QuickPatch[],
    recent: RecentOperands,
  ): QuickFrame & { locals(): number; keepsResult(): boolean; guards(): number } {
    const locals = ALL.map((type) => f.local(type));
    const at = <T extends ValueType>(index: number): Local<T> => locals[index - 2] as unknown as Local<T>;
    let used = LEAST_LOCALS;
    let keepsResult = false;
    let guards = 0;
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
    const exit = new Expression('i32', i32.const(0).opcode, [], Encoding.Bytes, 0, 0, EXIT);
    return {
      f,
      thread,
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
      recent,
      locals: () => used,
      keepsResult: () => keepsResult,
      guards: () => guards,
      noteResult: () => {
        keepsResult = true;
      },
      noteLocal: ({ index }) => {
        used = Math.max(used, index + 1);
      },
      aside: (condition) => {
        if (condition !== undefined && f.depth === guards) {
          f.openIf(condition.opcode === NOT ? (condition.operands[0] as I32) : i32.eqz(condition));
          guards++;
          return;
        }
        patches.push({ at: f.size + 1, what: 'exit', base: 0 });
        if (condition === undefined) f.brWith(DEPTH, exit);
        else f.brIfWith(DEPTH, exit, condition);
        const behind = condition === undefined ? 0 : 1;
        patches.push({ at: f.size - behind - DEPTH_BYTES, what: 'depth', base: f.depth });
      },
    };
  }
}

const NOT = i32.eqz(i32.const(0)).opcode;

/** Where `pattern` stands in `bytes`. (This is code that runs cold: what V8 does itself is fast.) */
function placesOf(bytes: Uint8Array, pattern: readonly number[]): number[] {
  const places: number[] = [];
  const { length } = pattern;
  for (let at = bytes.indexOf(pattern[0]); at >= 0; at = bytes.indexOf(pattern[0], at + 1)) {
    let same = 1;
    while (same < length && bytes[at + same] === pattern[same]) same++;
    if (same === length) places.push(at);
  }
  return places;
}

if (
  IMMEDIATE.length !== IMMEDIATE_BYTES ||
  PC.length !== PC_BYTES ||
  EXIT.length !== EXIT_BYTES ||
  DEPTH.length !== DEPTH_BYTES ||
  CALL.length + 1 !== CALL_BYTES
)
  throw new Error('templates are wrong');
