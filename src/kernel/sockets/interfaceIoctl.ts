import { copyIn, copyOut, readI32, readI64, writeI32 } from '../../memory/userAccess.js';
import { Socket } from '../../sync/records/socket.js';
import { EADDRNOTAVAIL, EFAULT, EINVAL, ENODEV, EPERM } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { isVersion4 } from './inetAddress.js';
import { type Interface, interfaceFlags, listInterfaces } from './interfaces.js';
import { AF_INET } from './socketNumbers.js';
import { atUrgentMark } from './socketQueue.js';

/** What ioctl tells of network interfaces (man 7 netdevice); nothing can be changed. */

const TIOCOUTQ = 0x5411;
const SIOCATMARK = 0x8905;
const SIOCGIFNAME = 0x8910;
const SIOCGIFCONF = 0x8912;
const SIOCGIFFLAGS = 0x8913;
const SIOCGIFADDR = 0x8915;
const SIOCGIFDSTADDR = 0x8917;
const SIOCGIFBRDADDR = 0x8919;
const SIOCGIFNETMASK = 0x891b;
const SIOCGIFMETRIC = 0x891d;
const SIOCGIFMTU = 0x8921;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCGIFTXQLEN = 0x8942;
/** Those between them that set something. */
const SETTERS = new Set([0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x891e, 0x8922, 0x8923, 0x8924, 0x8943]);

/** struct ifreq: a name, and 24 bytes of something. */
const IFREQ = 40;
const NAME = 16;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

/** sockaddr_in of an address of the form a.b.c.d as four bytes. */
function sockaddr(bytes: Uint8Array): Uint8Array {
  const result = new Uint8Array(16);
  result[0] = AF_INET;
  result.set(bytes, 4);
  return result;
}

function version4(one: Interface): { bytes: Uint8Array; mask: Uint8Array } | undefined {
  const found = one.addresses.find(({ address }) => isVersion4(address));
  if (found === undefined) return undefined;
  const bytes = new Uint8Array(Buffer.from(found.address, 'hex').subarray(12));
  const mask = new Uint8Array(4);
  for (let bit = 0; bit < found.prefix; bit++) mask[bit >> 3] |= 0x80 >> (bit & 7);
  return { bytes, mask };
}

/** An ioctl of a socket; undefined: not known. */
export function interfaceIoctl(
  t: ThreadContext,
  socket: number,
  request: number,
  argument: number,
): number | undefined {
  switch (request | 0) {
    case TIOCOUTQ: {
      const peer = t.mem.atomicLoad(socket + Socket.peer) >>> 0;
      writeI32(t, argument, peer === 0 ? 0 : t.mem.atomicLoad(peer + Socket.used));
      return 0;
    }
    case SIOCATMARK:
      writeI32(t, argument, atUrgentMark(t.mem, socket) ? 1 : 0);
      return 0;
    case SIOCGIFCONF:
      return configuration(t, argument);
  }
  if (SETTERS.has(request | 0)) return -EPERM;
  if ((request | 0) < SIOCGIFNAME || (request | 0) > SIOCGIFTXQLEN) return undefined;
  return ofOne(t, request | 0, argument);
}

/** SIOCGIFCONF: an ifreq with the address of each interface that has one of IPv4. */
function configuration(t: ThreadContext, argument: number): number {
  const room = readI32(t, argument);
  const at = readI64(t, argument + 8);
  const all = listInterfaces(t.mem).filter((one) => version4(one) !== undefined);
  if (at === 0) {
    writeI32(t, argument, all.length * IFREQ);
    return 0;
  }
  if (room < 0) return -EINVAL;
  const count = Math.min(all.length, Math.floor(room / IFREQ));
  for (let i = 0; i < count; i++) {
    const bytes = new Uint8Array(IFREQ);
    bytes.set(Buffer.from(all[i].name, 'latin1'));
    bytes.set(sockaddr(version4(all[i])?.bytes ?? new Uint8Array(4)), NAME);
    copyOut(t, at + i * IFREQ, bytes);
  }
  writeI32(t, argument, count * IFREQ);
  return 0;
}

function ofOne(t: ThreadContext, request: number, argument: number): number | undefined {
  if (argument === 0) return -EFAULT;
  const bytes = new Uint8Array(IFREQ);
  copyIn(t, argument, bytes);
  const view = new DataView(bytes.buffer);
  const interfaces = listInterfaces(t.mem);
  const name = Buffer.from(bytes.subarray(0, NAME))
    .toString('latin1')
    .replace(/[\0:].*/s, '');
  const index = view.getInt32(NAME, true);
  const one = interfaces.find((each) =>
    request === SIOCGIFNAME ? each.index === index : each.name === name,
  );
  if (one === undefined) return -ENODEV;
  const value = requestedValue(one, request);
  if (typeof value !== 'object') return value;
  if (request === SIOCGIFNAME) bytes.fill(0, 0, NAME);
  bytes.set(value, request === SIOCGIFNAME ? 0 : NAME);
  copyOut(t, argument, bytes);
  return 0;
}

/** What goes into the ifreq, or −errno; undefined: not known. */
function requestedValue(one: Interface, request: number): Uint8Array | number | undefined {
  const word = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);
  const address = version4(one);
  switch (request) {
    case SIOCGIFNAME:
      return new Uint8Array(Buffer.from(one.name, 'latin1'));
    case SIOCGIFFLAGS:
      return word(interfaceFlags(one)).subarray(0, 2);
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
      return address === undefined ? -EADDRNOTAVAIL : sockaddr(address.bytes);
    case SIOCGIFNETMASK:
      return address === undefined ? -EADDRNOTAVAIL : sockaddr(address.mask);
    case SIOCGIFBRDADDR:
      if (address === undefined) return -EADDRNOTAVAIL;
      return sockaddr(
        one.loopback ? new Uint8Array(4) : address.bytes.map((byte, i) => byte | ~address.mask[i]),
      );
    case SIOCGIFMETRIC:
      return word(0);
    case SIOCGIFMTU:
      return word(one.mtu);
    case SIOCGIFINDEX:
      return word(one.index);
    case SIOCGIFTXQLEN:
      return word(1000);
    case SIOCGIFHWADDR: {
      const bytes = new Uint8Array(16);
      new DataView(bytes.buffer).setUint16(0, one.loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER, true);
      bytes.set(one.hardware, 2);
      return bytes;
    }
    default:
      return undefined;
  }
}
