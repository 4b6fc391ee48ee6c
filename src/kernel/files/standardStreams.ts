import { constants, fstatSync, openSync } from 'node:fs';
import { FILE_DEVICE, FILE_HOST_STREAM, OPEN_BORROWED_FD } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { createTerminalFile } from '../terminals/terminalFile.js';
import { retainTty, terminalPath } from '../terminals/tty.js';
import { DEVICE_NULL } from './devices.js';
import { installFile } from './filesTable.js';
import { hasProcFd, pathOfDescriptor } from './hostAccess.js';
import { isTerminal } from './isTerminal.js';
import { createOpenFile } from './openFile.js';
import { O_RDONLY, O_RDWR, O_WRONLY } from './openFlags.js';
import './fileKinds.js';
import { openStream } from './stream.js';

/** Where one of a guest's standard streams leads. */
export type StandardStream =
  /** A descriptor of the Node process: an output, or an input that never makes its reader wait. */
  | { readonly kind: 'host'; readonly fd: number }
  /** The machine's console, a Tty record. */
  | { readonly kind: 'console'; readonly tty: number }
  /** The main thread's stream (stream.ts); a reference stays with the main thread. */
  | { readonly kind: 'stream'; readonly stream: number }
  /** /dev/null. */
  | { readonly kind: 'null' };

export interface StandardStreams {
  readonly stdin: StandardStream;
  readonly stdout: StandardStream;
  readonly stderr: StandardStream;
}

/** Puts the three standard streams at descriptors 0 to 2 of an empty table. Main thread. */
export function installStandardStreams(
  mem: SharedMemory,
  files: number,
  owner: number,
  streams: StandardStreams,
): void {
  const made = [
    makeStandardFile(mem, streams.stdin, O_RDONLY, owner),
    makeStandardFile(mem, streams.stdout, O_WRONLY, owner),
    makeStandardFile(mem, streams.stderr, O_WRONLY, owner),
  ];
  for (const file of made) installFile(mem, files, file, { limit: 3, closeOnExec: false }, owner);
}

function makeStandardFile(mem: SharedMemory, stream: StandardStream, access: number, owner: number): number {
  switch (stream.kind) {
    case 'null':
      return createOpenFile(
        mem,
        { kind: FILE_DEVICE, flags: O_RDWR, path: '/dev/null', detail: DEVICE_NULL },
        owner,
      );
    case 'stream':
      return openStream(mem, stream.stream, owner);
    case 'console':
      // A terminal's descriptors are open for both on every system.
      retainTty(mem, stream.tty, owner);
      return createTerminalFile(mem, stream.tty, O_RDWR, terminalPath(mem, stream.tty), owner);
    case 'host': {
      const own = access === O_RDONLY ? undefined : openUnblocking(stream.fd);
      return createOpenFile(
        mem,
        {
          kind: FILE_HOST_STREAM,
          flags: access,
          path: hostName(stream.fd),
          hostFd: own ?? stream.fd,
          attributes: own === undefined ? OPEN_BORROWED_FD : 0,
        },
        owner,
      );
    }
  }
}

/** What /proc/PID/fd shows for a descriptor of the host: its kind, not the host's path, which the guest must not see. */
function hostName(fd: number): string {
  if (!hasProcFd) return 'pipe:[0]';
  const name = pathOfDescriptor(fd);
  return name.startsWith('/') ? (name === '/dev/null' ? name : `file:[${fd}]`) : name;
}

/**
 * A descriptor of our own for an output that can make its writer wait (a pipe, a terminal), in non-blocking mode, so that
 * a guest that writes can be interrupted. Opened anew, since the mode of the given one is shared with other processes.
 */
function openUnblocking(fd: number): number | undefined {
  if (!hasProcFd) return undefined;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFIFO() && !isTerminal(fd)) return undefined;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}
