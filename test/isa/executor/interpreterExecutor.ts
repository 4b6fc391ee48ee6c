import {
  type Interpreter,
  instantiateInterpreter,
  interpreterBytes,
} from '../../../src/interpreter/interpreter.js';
import { ALL_EXTENSIONS } from '../../../src/isa/extensions.js';
import { CodePage } from '../../../src/sync/records/codePage.js';
import {
  EXIT_EBREAK,
  EXIT_FENCE_I,
  EXIT_ILLEGAL,
  NO_RESERVATION,
  Thread,
} from '../../../src/sync/records/thread.js';
import { SharedMemory } from '../../../src/sync/sharedMemory.js';
import {
  type Batch,
  ILLEGAL,
  RECORD_SLOTS,
  RET,
  SLOT_A,
  SLOT_FA,
  SLOT_FCSR,
  SLOT_MEMORY,
} from './executor.js';

const THREAD = 0x1_0000;
const READ_TABLE = 0x3_0000;
const WRITE_TABLE = 0x3_1000;
const CODE_TABLE = 0x3_2000;
const CODE_PAGE = 0x4_0000;
const CODE_FRAME = 0x8_0000;
const DATA_FRAME = 0x9_0000;
/** Guest addresses. */
const CODE = 0x1_0000;
const DATA = 0x2_0000;
const RETURN_AT = 0xff0;
const EBREAK = 0x0010_0073;

/**
 * The interpreter with nothing around it but one page of code and one of data: the counterpart of executor.S. Runs batches as
 * the guest program does.
 */
export class InterpreterExecutor {
  readonly mem = SharedMemory.create(1 << 20);
  private readonly interpreter: Interpreter;

  constructor(options: Parameters<typeof interpreterBytes>[0] = {}) {
    const bytes = interpreterBytes(options) as Uint8Array<ArrayBuffer>;
    this.interpreter = instantiateInterpreter(this.mem, new WebAssembly.Module(bytes));
    const { mem } = this;
    mem.setU32(THREAD + Thread.readTable, READ_TABLE);
    mem.setU32(THREAD + Thread.writeTable, WRITE_TABLE);
    mem.setU32(THREAD + Thread.codeTable, CODE_TABLE);
    mem.setU32(THREAD + Thread.hostPageShift, 12);
    mem.set64(THREAD + Thread.reach, 1 << 20);
    mem.setU32(READ_TABLE + (DATA >>> 12) * 4, DATA_FRAME - DATA + 1);
    mem.setU32(WRITE_TABLE + (DATA >>> 12) * 4, DATA_FRAME - DATA + 1);
    mem.setU32(READ_TABLE + (CODE >>> 12) * 4, CODE_FRAME - CODE + 1);
    mem.setU32(CODE_TABLE + (CODE >>> 12) * 4, CODE_PAGE);
    mem.setU32(CODE_PAGE + CodePage.source, CODE_FRAME);
    mem.setU32(CODE_PAGE + CodePage.extensions, ALL_EXTENSIONS);
    mem.setU32(CODE_FRAME + RETURN_AT, EBREAK);
    mem.u64[(THREAD + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
  }

  /** Runs a batch and returns the records as the code left them. */
  run({ code, records }: Batch): BigUint64Array {
    const { mem } = this;
    [...code, RET].forEach((word, i) => {
      mem.setU32(CODE_FRAME + i * 4, word);
    });
    mem.zero(CODE_PAGE + CodePage.slots, (code.length + 1) * 16);
    const results = records.slice();
    for (let at = 0; at < results.length; at += RECORD_SLOTS)
      this.runRecord(results.subarray(at, at + RECORD_SLOTS));
    return results;
  }

  private runRecord(record: BigUint64Array): void {
    const { mem } = this;
    const x = (THREAD + Thread.x) >>> 3;
    const f = (THREAD + Thread.f) >>> 3;
    const data = (DATA_FRAME + 64) >>> 3;
    mem.u64.fill(0n, x, x + 32);
    mem.setU32(THREAD + Thread.fflags, Number(record[SLOT_FCSR]) & 31);
    mem.setU32(THREAD + Thread.frm, (Number(record[SLOT_FCSR]) >> 5) & 7);
    mem.u64.set(record.subarray(SLOT_A, SLOT_A + 4), x + 10);
    mem.u64.set(record.subarray(SLOT_FA, SLOT_FA + 4), f + 10);
    mem.u64.set(record.subarray(SLOT_MEMORY), data);
    mem.set64(THREAD + Thread.x + 8, CODE + RETURN_AT);
    mem.set64(THREAD + Thread.x + 14 * 8, DATA + 64 + 32);
    mem.set64(THREAD + Thread.pc, CODE);
    let exit: number;
    do exit = this.interpreter.run(THREAD);
    while (exit === EXIT_FENCE_I);
    if (exit === EXIT_ILLEGAL) {
      record[SLOT_FCSR] = ILLEGAL;
      return;
    }
    if (exit !== EXIT_EBREAK || mem.getU64(THREAD + Thread.pc) !== CODE + RETURN_AT)
      throw new Error(`exit ${exit} at ${mem.getU64(THREAD + Thread.pc).toString(16)}`);
    const fflags = mem.getU32(THREAD + Thread.fflags);
    record[SLOT_FCSR] = BigInt(fflags | (mem.getU32(THREAD + Thread.frm) << 5));
    record.set(mem.u64.subarray(x + 10, x + 14), SLOT_A);
    record.set(mem.u64.subarray(f + 10, f + 14), SLOT_FA);
    record.set(mem.u64.subarray(data, data + 8), SLOT_MEMORY);
  }
}
