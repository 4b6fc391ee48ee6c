import type { Caller } from '../memory/caller.js';
import { copyOut } from '../memory/userAccess.js';
import { unpackStrings } from '../memory/userStrings.js';
import { targetPageSize } from '../mm/pageRange.js';
import { Mm } from '../sync/records/mm.js';
import { checkArguments, hwcap, mapStack, noteStack, type StackRequest } from './initialStack.js';

/**
 * The stack a FreeBSD program starts on, as exec_copyout_strings and elf64_freebsd_copyout_auxargs lay it out: at the top
 * struct ps_strings, below it the program's path, the canary, the page sizes and the strings, then argc, argv, envp and the
 * auxiliary vector, whose numbers are FreeBSD's own. a0 is given the address of argc.
 */
const AT_NULL = 0;
const AT_PHDR = 3;
const AT_PHENT = 4;
const AT_PHNUM = 5;
const AT_PAGESZ = 6;
const AT_BASE = 7;
const AT_FLAGS = 8;
const AT_ENTRY = 9;
const AT_EXECPATH = 15;
const AT_CANARY = 16;
const AT_CANARYLEN = 17;
const AT_OSRELDATE = 18;
const AT_NCPUS = 19;
const AT_PAGESIZES = 20;
const AT_PAGESIZESLEN = 21;
const AT_STACKPROT = 23;
const AT_EHDRFLAGS = 24;
const AT_HWCAP = 25;
const AT_ARGC = 28;
const AT_ARGV = 29;
const AT_ENVC = 30;
const AT_ENVV = 31;
const AT_PS_STRINGS = 32;
const AT_USRSTACKBASE = 35;
const AT_USRSTACKLIM = 36;

const VM_PROT_READ = 1;
const VM_PROT_WRITE = 2;
const VM_PROT_EXECUTE = 4;
/** struct ps_strings: argv string, count, environment string, count. */
const PS_STRINGS_SIZE = 32;
const CANARY_SIZE = 64;
const PAGE_SIZES_SIZE = 16;
/** EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE, what programs have in their ELF header. */
const EHDR_FLAGS = 5;

/** What a FreeBSD stack needs beyond Linux's. */
export interface FreebsdStackRequest extends StackRequest {
  /** __FreeBSD_version of the kernel that the program sees. */
  readonly osreldate: number;
  readonly cpus: number;
  /** CANARY_SIZE random bytes. */
  readonly canary: Uint8Array;
}

export interface FreebsdStack {
  readonly sp: number;
  /** Address of argc. */
  readonly argumentsAt: number;
}

/** Maps and fills the stack. Throws LoadError (E2BIG, ENOMEM). */
export function buildFreebsdStack(c: Caller, request: FreebsdStackRequest): FreebsdStack {
  const { program, argv } = request;
  const envp = unpackStrings(request.envp);
  checkArguments(argv, request.envp, request.stackSize, targetPageSize(c));
  const { bottom, top } = mapStack(c, request.stackSize, program.executableStack);

  const psStrings = top - PS_STRINGS_SIZE;
  const execpath = psStrings - Math.ceil((request.execfn.length + 1) / 8) * 8;
  const canary = execpath - CANARY_SIZE;
  const pageSizes = canary - PAGE_SIZES_SIZE;
  const stringBytes = [...argv, ...envp].reduce((sum, s) => sum + s.length + 1, 0);
  const strings = Math.floor((pageSizes - stringBytes) / 8) * 8;
  const argEnd = strings + argv.reduce((sum, s) => sum + s.length + 1, 0);

  const auxvWords = 2 * 25;
  const words = 1 + argv.length + 1 + envp.length + 1 + auxvWords;
  const argumentsAt = Math.floor((strings - words * 8) / 16) * 16;
  const argvAt = argumentsAt + 8;
  const envvAt = argvAt + (argv.length + 1) * 8;
  const prot = VM_PROT_READ | VM_PROT_WRITE | (program.executableStack ? VM_PROT_EXECUTE : 0);
  const auxv: [number, number][] = [
    [AT_PHDR, program.phdr],
    [AT_PHENT, program.phent],
    [AT_PHNUM, program.phnum],
    [AT_PAGESZ, targetPageSize(c)],
    [AT_FLAGS, 0],
    [AT_ENTRY, program.programEntry],
    [AT_BASE, program.base],
    [AT_EHDRFLAGS, EHDR_FLAGS],
    [AT_EXECPATH, execpath],
    [AT_OSRELDATE, request.osreldate],
    [AT_CANARY, canary],
    [AT_CANARYLEN, CANARY_SIZE],
    [AT_NCPUS, request.cpus],
    [AT_PAGESIZES, pageSizes],
    [AT_PAGESIZESLEN, PAGE_SIZES_SIZE],
    [AT_STACKPROT, prot],
    [AT_HWCAP, hwcap(c.mem.getU32(c.mm + Mm.extensions))],
    [AT_ARGC, argv.length],
    [AT_ARGV, argvAt],
    [AT_ENVC, envp.length],
    [AT_ENVV, envvAt],
    [AT_PS_STRINGS, psStrings],
    [AT_USRSTACKBASE, top],
    [AT_USRSTACKLIM, top - bottom],
    [AT_NULL, 0],
  ];

  const image = new Uint8Array(top - argumentsAt);
  const view = new DataView(image.buffer);
  const put = (address: number, value: number): void => {
    view.setUint32(address - argumentsAt, value >>> 0, true);
    view.setUint32(address - argumentsAt + 4, Math.floor(value / 0x1_0000_0000), true);
  };
  put(argumentsAt, argv.length);
  let at = argvAt;
  let string = strings;
  for (const list of [argv, envp]) {
    for (const s of list) {
      put(at, string);
      image.set(s, string - argumentsAt);
      string += s.length + 1;
      at += 8;
    }
    at += 8;
  }
  const auxvAt = at;
  for (const [key, value] of auxv) {
    put(at, key);
    put(at + 8, value);
    at += 16;
  }
  put(pageSizes, targetPageSize(c));
  image.set(request.canary, canary - argumentsAt);
  image.set(request.execfn, execpath - argumentsAt);
  put(psStrings, argvAt);
  put(psStrings + 8, argv.length);
  put(psStrings + 16, envvAt);
  put(psStrings + 24, envp.length);
  copyOut(c, argumentsAt, image);
  noteStack(c, {
    sp: argumentsAt,
    argStart: strings,
    argEnd,
    envEnd: string,
    auxv: image.slice(auxvAt - argumentsAt, at - argumentsAt),
  });
  return { sp: argumentsAt, argumentsAt };
}
