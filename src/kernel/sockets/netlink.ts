import { Guest } from '../../sync/records/guest.js';
import { Socket } from '../../sync/records/socket.js';
import { EINVAL, ENODEV, EOPNOTSUPP, EPERM } from '../errno.js';
import { READABLE } from '../files/events.js';
import type { ByteVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { isVersion4 } from './inetAddress.js';
import { type Interface, interfaceFlags, listInterfaces } from './interfaces.js';
import { signalSocket } from './socket.js';
import { AF_INET, AF_INET6, AF_NETLINK, AF_UNSPEC } from './socketNumbers.js';
import { createMark, putPacket } from './socketQueue.js';

/**
 * NETLINK_ROUTE as far as programs ask what interfaces, addresses and routes there are (man 7 rtnetlink): getifaddrs, Go's net
 * package, ip. Nothing can be changed.
 */

export const NETLINK_ROUTE = 0;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const RTM_GETRULE = 34;
/** Message types come in fours: new, delete, get, set. */
const FIRST_TYPE = 16;
const GET = 2;
const NLM_F_MULTI = 2;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const HEADER = 16;

const IFLA_ADDRESS = 1;
const IFLA_BROADCAST = 2;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_FLAGS = 8;
const IFA_F_PERMANENT = 0x80;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_HOST = 254;
const IF_OPER_UNKNOWN = 0;
const IF_OPER_UP = 6;

/** struct sockaddr_nl of a port; 0 is the kernel. */
export function packNetlinkAddress(port: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(4, port, true);
  return bytes;
}

/** bind(2): takes the port that is asked for, or the process's id. Multicast groups never tell anything. */
export function bindNetlink(t: ThreadContext, socket: number, bytes: Uint8Array): number {
  if (bytes.length < 12 || (bytes[0] | (bytes[1] << 8)) !== AF_NETLINK) return -EINVAL;
  const asked = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  const before = t.mem.getU32(socket + Socket.localPort);
  if (before !== 0 && asked !== 0 && asked !== before) return -EINVAL;
  if (before === 0) t.mem.setU32(socket + Socket.localPort, asked || ownPort(t, socket));
  return 0;
}

/** A port: the process's id for one socket, something else for more; nobody looks one up by it. */
function ownPort(t: ThreadContext, socket: number): number {
  return (t.mem.getU32(t.guest + Guest.pid) | ((t.mem.getU32(socket + Socket.id) & 0x1ff) << 22)) >>> 0;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((4 + value.length) / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(`${value}\0`, 'latin1'));

/** struct ifinfomsg with its attributes. */
function linkBody(one: Interface): Uint8Array {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setUint16(2, one.loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER, true);
  view.setInt32(4, one.index, true);
  view.setUint32(8, interfaceFlags(one) | 0x10000, true);
  return Buffer.concat([
    head,
    attribute(IFLA_IFNAME, text(one.name)),
    attribute(IFLA_TXQLEN, word(1000)),
    attribute(IFLA_OPERSTATE, Uint8Array.of(one.loopback ? IF_OPER_UNKNOWN : IF_OPER_UP)),
    attribute(IFLA_MTU, word(one.mtu)),
    attribute(IFLA_ADDRESS, one.hardware),
    attribute(IFLA_BROADCAST, new Uint8Array(6).fill(one.loopback ? 0 : 0xff)),
  ]);
}

/** struct ifaddrmsg of each address with its attributes. */
function addressBodies(one: Interface, family: number): Uint8Array[] {
  return one.addresses
    .filter(({ version }) => family === AF_UNSPEC || family === (version === 4 ? AF_INET : AF_INET6))
    .map(({ address, version, prefix }) => {
      const raw = Buffer.from(address, 'hex');
      const bytes = new Uint8Array(isVersion4(address) ? raw.subarray(12) : raw);
      const head = new Uint8Array(8);
      head[0] = version === 4 ? AF_INET : AF_INET6;
      head[1] = prefix;
      head[2] = IFA_F_PERMANENT;
      const linkLocal = version === 6 && raw[0] === 0xfe && (raw[1] & 0xc0) === 0x80;
      head[3] = one.loopback ? RT_SCOPE_HOST : linkLocal ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
      new DataView(head.buffer).setUint32(4, one.index, true);
      const parts = [head, attribute(IFA_ADDRESS, bytes)];
      if (version === 4) parts.push(attribute(IFA_LOCAL, bytes), attribute(IFA_LABEL, text(one.name)));
      parts.push(attribute(IFA_FLAGS, word(IFA_F_PERMANENT)));
      return new Uint8Array(Buffer.concat(parts));
    });
}

/** send(2): answers each request right away, into the socket's own queue. Returns how many bytes were sent. */
export function sendNetlink(t: ThreadContext, socket: number, from: ByteVector): number {
  const { mem, thread } = t;
  const bytes = new Uint8Array(from.length);
  from.copyIn(t, 0, bytes);
  const view = new DataView(bytes.buffer);
  if (mem.getU32(socket + Socket.localPort) === 0) mem.setU32(socket + Socket.localPort, ownPort(t, socket));
  const port = mem.getU32(socket + Socket.localPort);
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) break;
    const request = {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      header: bytes.slice(at, at + HEADER),
      body: bytes.slice(at + HEADER, at + length),
    };
    for (const packet of answer(mem.getU32(socket + Socket.protocol), port, listInterfaces(mem), request)) {
      const mark = createMark(
        mem,
        { files: [], credentials: undefined, address: packNetlinkAddress(0) },
        thread,
      );
      putPacket(mem, socket, packet, 0x7fff_ffff, 0x7fff_ffff, mark, thread);
    }
    at += Math.ceil(length / 4) * 4;
  }
  signalSocket(mem, socket, READABLE, thread);
  return from.length;
}

interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

/** The packets that answer a request. */
function answer(
  protocol: number,
  port: number,
  interfaces: readonly Interface[],
  request: NetlinkRequest,
): Uint8Array[] {
  const { type, flags, sequence } = request;
  const message = (kind: number, body: Uint8Array, multi: number): Uint8Array => {
    const bytes = new Uint8Array(Math.ceil((HEADER + body.length) / 4) * 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, HEADER + body.length, true);
    view.setUint16(4, kind, true);
    view.setUint16(6, multi, true);
    view.setUint32(8, sequence, true);
    view.setUint32(12, port, true);
    bytes.set(body, HEADER);
    return bytes;
  };
  const error = (errno: number): Uint8Array =>
    message(NLMSG_ERROR, Buffer.concat([word(-errno), request.header]), 0);
  if (type < FIRST_TYPE) return (flags & NLM_F_ACK) !== 0 ? [error(0)] : [];
  if (protocol !== NETLINK_ROUTE) return [error(EOPNOTSUPP)];
  if ((type & 3) !== GET) return [error(EPERM)];
  const family = request.body[0] ?? AF_UNSPEC;
  const dump = (flags & NLM_F_DUMP) !== 0;
  let bodies: Uint8Array[];
  switch (type) {
    case RTM_GETLINK:
      if (!dump) {
        const index = request.body.length >= 8 ? new DataView(request.body.buffer).getInt32(4, true) : 0;
        const name = nameAttribute(request.body);
        const one = interfaces.find((each) => (index === 0 ? each.name === name : each.index === index));
        return one === undefined ? [error(ENODEV)] : [message(RTM_NEWLINK, linkBody(one), 0)];
      }
      bodies = interfaces.map(linkBody);
      break;
    case RTM_GETADDR:
      bodies = interfaces.flatMap((one) => addressBodies(one, family));
      break;
    case RTM_GETROUTE:
    case RTM_GETRULE:
      bodies = [];
      break;
    default:
      return [error(EOPNOTSUPP)];
  }
  const kind = type === RTM_GETLINK ? RTM_NEWLINK : RTM_NEWADDR;
  const parts = bodies.map((body) => message(kind, body, NLM_F_MULTI));
  const done = message(NLMSG_DONE, word(0), NLM_F_MULTI);
  return parts.length === 0 ? [done] : [new Uint8Array(Buffer.concat(parts)), done];
}

/** IFLA_IFNAME of a request for one link. */
function nameAttribute(body: Uint8Array): string | undefined {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = 16; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > body.length) return undefined;
    if (view.getUint16(at + 2, true) === IFLA_IFNAME)
      return Buffer.from(body.subarray(at + 4, at + length))
        .toString('latin1')
        .replace(/\0.*/s, '');
    at += Math.ceil(length / 4) * 4;
  }
  return undefined;
}
