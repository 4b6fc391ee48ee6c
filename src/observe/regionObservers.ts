import type { RegionObservers } from '../jit/engine.js';
import { CodePage } from '../sync/records/codePage.js';
import { Thread } from '../sync/records/thread.js';
import {
  LOG_EXEC,
  OBSERVE_EXITS,
  SIDE_EXIT_FLOAT,
  SIDE_EXIT_MISALIGNED,
  SIDE_EXIT_OTHER,
  SIDE_EXIT_PAGE,
  SIDE_EXIT_STALE,
  SIDE_EXIT_SYSTEM_CALL,
  Translation,
} from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';
import { writeLog } from './log.js';
import { regionName } from './regionProfile.js';

/** What a worker's regions call, as far as the machine's options want them observed. */
export function regionObservers(mem: SharedMemory): RegionObservers {
  const translation = translationOf(mem);
  const logged = mem.getU32(translation + Translation.logged);
  return {
    entered: logged & LOG_EXEC ? (thread, index) => logEntry(mem, thread, index) : undefined,
    left:
      logged & OBSERVE_EXITS
        ? (thread, cause) => {
            const why = cause === SIDE_EXIT_STALE ? cause : sideExitCause(mem, thread);
            return mem.atomicAdd(translation + Translation.sideExits + why * 4, 1);
          }
        : undefined,
  };
}

function logEntry(mem: SharedMemory, thread: number, index: number): number {
  const pc = mem
    .getU64(thread + Thread.pc)
    .toString(16)
    .padStart(8, '0');
  const tid = mem.getU32(thread + Thread.tid);
  writeLog(mem, `Trace ${tid}: region ${index} [${pc}] ${regionName(mem, index)}\n`);
  return 0;
}

const LOAD = 0x03;
const LOAD_FP = 0x07;
const STORE = 0x23;
const STORE_FP = 0x27;
const AMO = 0x2f;
const MADD = 0x43;
const MSUB = 0x47;
const NMSUB = 0x4b;
const NMADD = 0x4f;
const OP_FP = 0x53;
const ECALL = 0x73;
const SP = 2;

/** SIDE_EXIT_*: why the instruction at the pc could not be done in a region. Looks at opcodes only: workers have no tables. */
function sideExitCause(mem: SharedMemory, thread: number): number {
  const codeTable = mem.getU32(thread + Thread.codeTable);
  const half = (address: number): number => {
    const page = mem.getU32(codeTable + Math.floor(address / 4096) * 4);
    return page === 0 ? 0 : mem.u16[(mem.getU32(page + CodePage.source) + (address % 4096)) >>> 1];
  };
  const access = (register: number, offset: number, size: number): number => {
    const address = mem.getU32(thread + Thread.x + register * 8) + offset;
    return address & (size - 1) ? SIDE_EXIT_MISALIGNED : SIDE_EXIT_PAGE;
  };
  const pc = mem.getU64(thread + Thread.pc);
  const low = half(pc);
  if ((low & 3) !== 3) {
    // Compressed loads and stores: quadrants 0 and 2, of a word where funct3 ends in 2, else of a doubleword, at multiples of that.
    const funct3 = low >>> 13;
    if ((low & 3) === 1 || (funct3 & 3) === 0) return SIDE_EXIT_OTHER;
    return access((low & 3) === 2 ? SP : 8 + ((low >>> 7) & 7), 0, (funct3 & 3) === 2 ? 4 : 8);
  }
  const word = low | (half(pc + 2) << 16);
  if (word === ECALL) return SIDE_EXIT_SYSTEM_CALL;
  const base = (word >>> 15) & 31;
  const size = 1 << ((word >>> 12) & 3);
  switch (word & 0x7f) {
    case LOAD:
    case LOAD_FP:
      return access(base, word >> 20, size);
    case STORE:
    case STORE_FP:
      return access(base, ((word >> 25) << 5) | ((word >> 7) & 31), size);
    case AMO:
      return access(base, 0, size);
    case MADD:
    case MSUB:
    case NMSUB:
    case NMADD:
    case OP_FP:
      return SIDE_EXIT_FLOAT;
    default:
      return SIDE_EXIT_OTHER;
  }
}
