import { copyIn, copyOut } from '../../memory/userAccess.js';
import { IpcPermission } from '../../sync/records/sysvIpc.js';
import { EACCES, EINVAL, SyscallError } from '../errno.js';
import { describePermission, mayAccess, mayControl, objectAt, objectById } from '../sysvIpc.js';
import type { ThreadContext } from '../threadContext.js';

/** What shmctl(2), semctl(2) and msgctl(2) have in common. */

const IPC_RMID = 0;
const IPC_SET = 1;
const IPC_STAT = 2;
export const IPC_INFO = 3;

/** What a kind of object has of its own. The table is locked when its functions are called, but for `withTable` and `inform`. */
export interface IpcKind {
  /** Runs `body` with the table of the objects locked. */
  withTable<T>(t: ThreadContext, body: (table: number) => T): T;
  /** The command that describes the object at a place of the table (SHM_STAT); SHM_INFO and SHM_STAT_ANY follow it. */
  readonly stat: number;
  /** Bytes of its struct (shmid64_ds), and what fills them in behind the struct ipc64_perm. */
  readonly size: number;
  describe(t: ThreadContext, object: number, view: DataView): void;
  /** IPC_INFO or SHM_INFO: writes limits or use to the caller's buffer; the highest place in use. */
  inform(t: ThreadContext, command: number, buffer: number): number;
  /** IPC_SET: owner, permissions and what else can be changed; 0 or −errno. */
  change(t: ThreadContext, object: number, view: DataView): number;
  /** IPC_RMID. */
  remove(t: ThreadContext, table: number, object: number): void;
}

/** The result, unless it is a negated errno: then throws SyscallError. */
export function failed(result: number): number {
  if (result < 0) throw new SyscallError(-result);
  return result;
}

/** Runs `body` with the object of that id, which the caller may control. Throws SyscallError. */
export function withControlled(
  t: ThreadContext,
  kind: IpcKind,
  id: number,
  body: (object: number, table: number) => number,
): number {
  return kind.withTable(t, (table) => {
    const object = failed(objectById(t.mem, table, id));
    failed(mayControl(t, object));
    return body(object, table);
  });
}

function describe(t: ThreadContext, kind: IpcKind, id: number, command: number, buffer: number): number {
  const { mem } = t;
  const bytes = new Uint8Array(kind.size);
  const view = new DataView(bytes.buffer);
  const result = kind.withTable(t, (table) => {
    const object = failed((command === IPC_STAT ? objectById : objectAt)(mem, table, id));
    const anybody = command === kind.stat + 2;
    if (!anybody && !mayAccess(t, object, 0o444)) throw new SyscallError(EACCES);
    describePermission(mem, object, view);
    kind.describe(t, object, view);
    return command === IPC_STAT ? 0 : mem.getU32(object + IpcPermission.id);
  });
  copyOut(t, buffer, bytes);
  return result;
}

/**
 * shmctl(2), semctl(2) and msgctl(2) as far as they are alike: the result, or −EINVAL for commands that are not common to the
 * three. Throws SyscallError and UserFault. `buffer` is the caller's address.
 */
export function ipcControl(
  t: ThreadContext,
  kind: IpcKind,
  id: number,
  command: number,
  buffer: number,
): number {
  if (id < 0 || command < 0) return -EINVAL;
  switch (command) {
    case IPC_INFO:
    case kind.stat + 1:
      return kind.inform(t, command, buffer);
    case IPC_STAT:
    case kind.stat:
    case kind.stat + 2:
      return describe(t, kind, id, command, buffer);
    case IPC_SET: {
      const bytes = new Uint8Array(kind.size);
      copyIn(t, buffer, bytes);
      return withControlled(t, kind, id, (object) => kind.change(t, object, new DataView(bytes.buffer)));
    }
    case IPC_RMID:
      return withControlled(t, kind, id, (object, table) => {
        kind.remove(t, table, object);
        return 0;
      });
    default:
      return -EINVAL;
  }
}
