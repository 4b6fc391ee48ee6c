import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { COORDINATOR, withMutex } from '../../sync/mutex.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { FILE_MASTER, FILE_TERMINAL, OpenFile } from '../../sync/records/openFile.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { filesGlobal } from '../files/filesGlobal.js';
import { initialSettings } from './termios.js';

/** The machine's terminals: their records, and which there are. */

/** Pseudo-terminals that there may be (sysctl kernel.pty.max). */
const MOST_TERMINALS = 4096;
/** Group "tty" of every distribution, which devpts gives its nodes. */
const GROUP_TTY = 5;

/**
 * Makes a terminal with one reference and the lowest free number; 0 when there are too many. The console has a host
 * descriptor.
 */
export function createTty(
  mem: SharedMemory,
  owner: number,
  parts: { readonly uid: number; readonly hostFd?: number },
): number {
  const global = filesGlobal(mem, owner);
  const tty = allocateBlock(mem, Tty.SIZE, owner);
  const console = parts.hostFd !== undefined;
  mem.setI32(tty + Tty.refs, 1);
  mem.setU32(tty + Tty.console, console ? 1 : 0);
  mem.setI32(tty + Tty.hostFd, parts.hostFd ?? -1);
  mem.setU32(tty + Tty.uid, parts.uid);
  mem.setU32(tty + Tty.gid, GROUP_TTY);
  mem.setU32(tty + Tty.mode, 0o620);
  initialSettings(mem, tty, console);
  const listed = withMutex(mem, global + FilesGlobal.ttysLock, owner, () => {
    // The list is kept in the order of the numbers.
    let link = global + FilesGlobal.ttys;
    let index = 0;
    for (let other = mem.getU32(link); other !== 0; other = mem.getU32(link)) {
      if (mem.getU32(other + Tty.index) !== index) break;
      index++;
      link = other + Tty.next;
    }
    if (index >= MOST_TERMINALS) return false;
    mem.setU32(tty + Tty.index, index);
    mem.setU32(tty + Tty.next, mem.getU32(link));
    mem.setU32(link, tty);
    return true;
  });
  if (listed) return tty;
  freeBlock(mem, tty, owner);
  return 0;
}

/** One more reference to a terminal that the caller has one of, or that cannot go (Machine.guestsLock and Guest.terminal). */
export function retainTty(mem: SharedMemory, tty: number, owner: number): void {
  withMutex(mem, filesGlobal(mem, owner) + FilesGlobal.ttysLock, owner, () => {
    mem.setI32(tty + Tty.refs, mem.getI32(tty + Tty.refs) + 1);
  });
}

/** Gives a reference back; the last one frees the terminal and its number. */
export function releaseTty(mem: SharedMemory, tty: number, owner: number): void {
  const global = filesGlobal(mem, owner);
  const gone = withMutex(mem, global + FilesGlobal.ttysLock, owner, () => {
    const refs = mem.getI32(tty + Tty.refs) - 1;
    mem.setI32(tty + Tty.refs, refs);
    if (refs > 0) return false;
    let link = global + FilesGlobal.ttys;
    while (mem.getU32(link) !== tty) link = mem.getU32(link) + Tty.next;
    mem.setU32(link, mem.getU32(tty + Tty.next));
    return true;
  });
  if (gone) freeBlock(mem, tty, owner);
}

/** Calls `visit` for every terminal that has a name in /dev/pts, with FilesGlobal.ttysLock held, until it answers true. */
function visitNamed(mem: SharedMemory, owner: number, visit: (tty: number) => boolean): void {
  const global = filesGlobal(mem, owner);
  withMutex(mem, global + FilesGlobal.ttysLock, owner, () => {
    for (let tty = mem.getU32(global + FilesGlobal.ttys); tty !== 0; tty = mem.getU32(tty + Tty.next)) {
      // A pseudo-terminal loses its name when its master is closed.
      const named = mem.getU32(tty + Tty.console) !== 0 || mem.atomicLoad(tty + Tty.masters) > 0;
      if (named && visit(tty)) return;
    }
  });
}

/** Numbers of the terminals in /dev/pts. */
export function terminalNumbers(mem: SharedMemory, owner: number): number[] {
  const numbers: number[] = [];
  visitNamed(mem, owner, (tty) => {
    numbers.push(mem.getU32(tty + Tty.index));
    return false;
  });
  return numbers;
}

/** The terminal /dev/pts/N with a reference for the caller, or 0. */
export function acquireTerminal(mem: SharedMemory, index: number, owner: number): number {
  let found = 0;
  visitNamed(mem, owner, (tty) => {
    if (mem.getU32(tty + Tty.index) !== index) return false;
    mem.setI32(tty + Tty.refs, mem.getI32(tty + Tty.refs) + 1);
    found = tty;
    return true;
  });
  return found;
}

/** Guest path of a terminal. */
export function terminalPath(mem: SharedMemory, tty: number): string {
  return `/dev/pts/${mem.getU32(tty + Tty.index)}`;
}

/** The Tty behind an open file of either end, or 0. */
export function terminalOf(mem: SharedMemory, file: number): number {
  const kind = mem.getU32(file + OpenFile.kind);
  return kind === FILE_TERMINAL || kind === FILE_MASTER ? mem.getU32(file + OpenFile.object) : 0;
}

/** Rows and columns, as the main thread sets them. */
export function setWindow(
  mem: SharedMemory,
  tty: number,
  rows: number,
  columns: number,
  owner = COORDINATOR,
): void {
  const window = new Uint8Array(8);
  const view = new DataView(window.buffer);
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  withMutex(mem, tty + Tty.lock, owner, () => mem.u8.set(window, tty + Tty.window));
}
