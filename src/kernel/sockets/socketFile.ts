import { FILE_SOCKET, OpenFile } from '../../sync/records/openFile.js';
import { Socket } from '../../sync/records/socket.js';
import { ECONNRESET } from '../errno.js';
import type { FileOperations } from '../files/fileOperations.js';
import { DEV_PIPE, madeStatus, S_IFSOCK } from '../files/fileStatus.js';
import { registerKind, releaseOpenFile } from '../files/openFile.js';
import { interfaceIoctl } from './interfaceIoctl.js';
import { closeSocket, hasPackets, isTcp, pollSocket } from './socket.js';
import { bytesBeforeMark, firstPacketLength } from './socketQueue.js';
import { receiveFrom, sendTo } from './transfer.js';

/** What read, write, poll, ioctl and close do with a socket. */
const socketOperations: FileOperations = {
  read(t, file, into) {
    if (into.length === 0) return 0;
    const { result, attached } = receiveFrom(t, file, into, 0);
    for (const open of attached.files) releaseOpenFile(t.mem, open, t.thread);
    return result;
  },
  write: (t, file, from) => sendTo(t, file, from, { flags: 0 }),
  poll: (mem, file, owner) => pollSocket(mem, mem.getU32(file + OpenFile.object), owner),
  eventSource: (mem, file) => mem.getU32(file + OpenFile.object) + Socket.source,
  available(mem, file) {
    const socket = mem.getU32(file + OpenFile.object);
    return hasPackets(mem, socket) ? firstPacketLength(mem, socket) : bytesBeforeMark(mem, socket);
  },
  status: (t, file) =>
    madeStatus({
      dev: DEV_PIPE,
      ino: BigInt(t.mem.getU32(t.mem.getU32(file + OpenFile.object) + Socket.id)),
      mode: S_IFSOCK | 0o777,
    }),
  ioctl: (t, file, request, argument) =>
    interfaceIoctl(t, t.mem.getU32(file + OpenFile.object), request, argument),
  release(mem, file, owner) {
    const socket = mem.getU32(file + OpenFile.object);
    // SO_LINGER with no time: the other end is told by a reset.
    const abort = isTcp(mem, socket) && mem.getI32(socket + Socket.linger) === 0;
    closeSocket(mem, socket, abort ? ECONNRESET : 0, owner);
  },
};

registerKind(FILE_SOCKET, socketOperations);
