import { copyIn, copyOut } from '../../memory/userAccess.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN, capable } from '../capabilities.js';
import { realtimeNow } from '../clock.js';
import { EBADF, EINVAL, ENOBUFS, EPERM, ETOOMANYREFS, SyscallError } from '../errno.js';
import { newDescriptor } from '../files/descriptors.js';
import { acquireFile } from '../files/filesTable.js';
import { releaseOpenFile } from '../files/openFile.js';
import { O_CLOEXEC } from '../files/openFlags.js';
import { listInterfaces } from '../sockets/interfaces.js';
import { tooManyInFlight } from '../sockets/rights.js';
import {
  MSG_CTRUNC,
  OPTION_PACKET_INFO,
  OPTION_PACKET_INFO_6,
  OPTION_RECEIVE_CLASS_6,
  OPTION_RECEIVE_HOPS_6,
  OPTION_RECEIVE_TOS,
  OPTION_RECEIVE_TTL,
  OPTION_TIMESTAMP,
  OPTION_TIMESTAMP_NEW,
  OPTION_TIMESTAMP_NS,
} from '../sockets/socketNumbers.js';
import type { Attached, Credentials, PacketFacts } from '../sockets/socketQueue.js';
import type { ThreadContext } from '../threadContext.js';

/** What goes along with a message (man 7 cmsg): struct cmsghdr is length (8 bytes), level and type, then data, aligned to 8. */

const HEADER = 16;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
const UCRED_SIZE = 12;
/** SCM_MAX_FD. */
const MOST_FILES = 253;
/** net.core.optmem_max. */
const MOST_CONTROL = 131_072;

/** What a sender gave along. */
export interface Control {
  /** Open files with a reference each, the caller's to release unless they were sent. */
  readonly files: number[];
  readonly credentials: Credentials | undefined;
  /** Hop limit and class of this packet; absent, or −1: the socket's. */
  readonly hops?: number;
  readonly trafficClass?: number;
}

/** IP_TTL, IP_TOS, IPV6_HOPLIMIT, IPV6_TCLASS, by level and type: which of Control it sets, and what it may be. */
function packetControl(
  level: number,
  type: number,
): { sets: 'hops' | 'trafficClass'; least: number } | undefined {
  if (level === IPPROTO_IP && type === IP_TTL) return { sets: 'hops', least: 1 };
  if (level === IPPROTO_IP && type === IP_TOS) return { sets: 'trafficClass', least: 0 };
  if (level === IPPROTO_IPV6 && type === IPV6_HOPLIMIT) return { sets: 'hops', least: -1 };
  if (level === IPPROTO_IPV6 && type === IPV6_TCLASS) return { sets: 'trafficClass', least: -1 };
  return undefined;
}

/** The value of such a message: an int, or one byte for IP_TOS (ip_cmsg_send, ip6_datagram_send_ctl). Throws EINVAL. */
function packetValue(
  view: DataView,
  at: number,
  size: number,
  level: number,
  type: number,
  least: number,
): number {
  const byte = level === IPPROTO_IP && type === IP_TOS && size === HEADER + 1;
  if (!byte && size !== HEADER + 4) throw new SyscallError(EINVAL);
  const value = byte ? view.getUint8(at + HEADER) : view.getInt32(at + HEADER, true);
  if (value < least || value > 255) throw new SyscallError(EINVAL);
  return value;
}

function aligned(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/**
 * Reads msg_control of sendmsg. Descriptors count for AF_UNIX only (`takesFiles`), what concerns packets for UDP (`packets`).
 * Throws SyscallError and UserFault.
 */
export function readControl(
  t: ThreadContext,
  address: number,
  length: number,
  takesFiles: boolean,
  packets: boolean,
): Control {
  const files: number[] = [];
  const sent: { hops?: number; trafficClass?: number } = {};
  let credentials: Credentials | undefined;
  if (address === 0 || length === 0) return { files, credentials };
  if (length < 0 || length > MOST_CONTROL) throw new SyscallError(ENOBUFS);
  const bytes = new Uint8Array(length);
  copyIn(t, address, bytes);
  const view = new DataView(bytes.buffer);
  try {
    for (let at = 0; at + HEADER <= length; ) {
      const size = Number(view.getBigUint64(at, true));
      if (size < HEADER || size > length - at) throw new SyscallError(EINVAL);
      const type = view.getInt32(at + 12, true);
      const level = view.getInt32(at + 8, true);
      const packet = packets ? packetControl(level, type) : undefined;
      if (packet !== undefined) sent[packet.sets] = packetValue(view, at, size, level, type, packet.least);
      else if (level === SOL_SOCKET) {
        if (type === SCM_RIGHTS) {
          const count = (size - HEADER) >>> 2;
          if (count + files.length > MOST_FILES) throw new SyscallError(EINVAL);
          if (takesFiles)
            for (let i = 0; i < count; i++)
              files.push(fileToSend(t, view.getInt32(at + HEADER + i * 4, true)));
        } else if (type === SCM_CREDENTIALS) {
          if (size !== HEADER + UCRED_SIZE) throw new SyscallError(EINVAL);
          credentials = {
            pid: view.getUint32(at + HEADER, true),
            uid: view.getUint32(at + HEADER + 4, true),
            gid: view.getUint32(at + HEADER + 8, true),
          };
          if (!mayClaim(t, credentials)) throw new SyscallError(EPERM);
        } else throw new SyscallError(EINVAL);
      }
      at += aligned(size);
    }
    if (files.length > 0 && tooManyInFlight(t)) throw new SyscallError(ETOOMANYREFS);
  } catch (error) {
    for (const file of files) releaseOpenFile(t.mem, file, t.thread);
    throw error;
  }
  return { files, credentials, ...sent };
}

function fileToSend(t: ThreadContext, fd: number): number {
  const file = acquireFile(t.mem, t.files, fd, t.thread);
  if (file === 0) throw new SyscallError(EBADF);
  return file;
}

/** Whether a process may say that it is this one (scm_check_creds). */
function mayClaim(t: ThreadContext, claimed: Credentials): boolean {
  const { mem, guest } = t;
  const own = (field: number, value: number): boolean =>
    [0, 4, 8].some((which) => mem.getU32(t.cred + field + which) === value);
  return (
    (claimed.pid === mem.getU32(guest + Guest.pid) || capable(t, CAP_SYS_ADMIN)) &&
    (own(Cred.uids, claimed.uid) || capable(t, CAP_SETUID)) &&
    (own(Cred.gids, claimed.gid) || capable(t, CAP_SETGID))
  );
}

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const SCM_TIMESTAMP = 29;
const SCM_TIMESTAMPNS = 35;
const SCM_TIMESTAMP_NEW = 63;
const SCM_TIMESTAMPNS_NEW = 64;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IPV6_PKTINFO = 50;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;

/** What of a packet its receiver has asked for, `told` being its Socket.options (sock_recv_cmsgs, ip_cmsg_recv, ip6_datagram_recv_ctl). */
function tellOfPacket(
  t: ThreadContext,
  told: number,
  facts: PacketFacts,
  put: (type: number, data: Uint8Array, level?: number) => void,
): void {
  const isNew = (told & OPTION_TIMESTAMP_NEW) !== 0;
  const moment = (scale: bigint): Uint8Array => {
    // What was sent before the receiver asked is as old as it is now (__sock_recv_timestamp).
    const time = BigInt(facts.time || Math.floor(realtimeNow(t.mem) * 1000));
    return new Uint8Array(BigInt64Array.of(time / 1_000_000n, (time % 1_000_000n) * scale).buffer);
  };
  if (told & OPTION_TIMESTAMP) put(isNew ? SCM_TIMESTAMP_NEW : SCM_TIMESTAMP, moment(1n));
  if (told & OPTION_TIMESTAMP_NS) put(isNew ? SCM_TIMESTAMPNS_NEW : SCM_TIMESTAMPNS, moment(1000n));
  const word = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);
  const version4 = facts.to.subarray(0, 10).every((byte) => byte === 0) && facts.to[10] === 0xff;
  if (version4 && told & OPTION_PACKET_INFO) {
    const address = facts.to.subarray(12);
    put(IP_PKTINFO, Uint8Array.of(...word(interfaceOf(t, facts.to)), ...address, ...address), IPPROTO_IP);
  }
  if (version4 && told & OPTION_RECEIVE_TTL) put(IP_TTL, word(facts.hops), IPPROTO_IP);
  if (version4 && told & OPTION_RECEIVE_TOS) put(IP_TOS, Uint8Array.of(facts.trafficClass), IPPROTO_IP);
  if (told & OPTION_PACKET_INFO_6)
    put(IPV6_PKTINFO, Uint8Array.of(...facts.to, ...word(interfaceOf(t, facts.to))), IPPROTO_IPV6);
  if (!version4 && told & OPTION_RECEIVE_HOPS_6) put(IPV6_HOPLIMIT, word(facts.hops), IPPROTO_IPV6);
  if (!version4 && told & OPTION_RECEIVE_CLASS_6) put(IPV6_TCLASS, word(facts.trafficClass), IPPROTO_IPV6);
}

/** Index of the interface that has an address; that of the loopback for those of 127.0.0.0/8 and for all that is not known. */
function interfaceOf(t: ThreadContext, address: Uint8Array): number {
  const text = Buffer.from(address).toString('hex');
  const found = listInterfaces(t.mem).find((one) => one.addresses.some((own) => own.address === text));
  return found?.index ?? 1;
}

/** Overflow ids: who sent it is not known. */
const UNKNOWN: Credentials = { pid: 0, uid: 65534, gid: 65534 };

/**
 * Writes what came along to msg_control and gives descriptors for the files, which it takes over. Returns how many bytes of
 * the control buffer are used, and MSG_CTRUNC when not everything fitted.
 */
export function writeControl(
  t: ThreadContext,
  address: number,
  length: number,
  attached: Attached,
  options: { readonly credentials: boolean; readonly closeOnExec: boolean; readonly told: number },
): { used: number; flags: number } {
  let used = 0;
  let flags = 0;
  const room = (): number => (address === 0 ? 0 : Math.max(0, length - used));
  const put = (type: number, data: Uint8Array, level = SOL_SOCKET): void => {
    if (room() < HEADER) {
      flags |= MSG_CTRUNC;
      return;
    }
    const size = Math.min(HEADER + data.length, room());
    if (size < HEADER + data.length) flags |= MSG_CTRUNC;
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(size), true);
    view.setInt32(8, level, true);
    view.setInt32(12, type, true);
    bytes.set(data.subarray(0, size - HEADER), HEADER);
    copyOut(t, address + used, bytes);
    used += Math.min(aligned(HEADER + data.length), room());
  };
  if (attached.packet !== undefined) tellOfPacket(t, options.told, attached.packet, put);
  if (options.credentials) {
    const { pid, uid, gid } = attached.credentials ?? UNKNOWN;
    put(SCM_CREDENTIALS, new Uint8Array(Uint32Array.of(pid, uid, gid).buffer));
  }
  const { files } = attached;
  if (files.length === 0) return { used, flags };
  const most = Math.max(0, Math.floor((room() - HEADER) / 4));
  const given: number[] = [];
  files.forEach((file, i) => {
    if (i >= most || given.length < i) {
      releaseOpenFile(t.mem, file, t.thread);
      return;
    }
    try {
      given.push(newDescriptor(t, file, options.closeOnExec ? O_CLOEXEC : 0));
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  });
  if (given.length > 0) put(SCM_RIGHTS, new Uint8Array(Int32Array.from(given).buffer));
  if (given.length < files.length) flags |= MSG_CTRUNC;
  return { used, flags };
}
