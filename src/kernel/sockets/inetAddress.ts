import { Socket } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAFNOSUPPORT, EINVAL, SyscallError } from '../errno.js';
import { AF_INET, AF_INET6 } from './socketNumbers.js';

/**
 * Addresses of AF_INET and AF_INET6 in one form: sixteen bytes, IPv4 mapped (::ffff:a.b.c.d), as a string of 32 hexadecimal
 * digits, so that they can be compared.
 */
export interface InetAddress {
  readonly address: string;
  /** Host byte order. */
  readonly port: number;
  /** sin6_scope_id. */
  readonly scope: number;
}

const MAPPED = '00000000000000000000ffff';
export const ANY_4 = `${MAPPED}00000000`;
export const ANY_6 = '0'.repeat(32);
export const LOOPBACK_4 = `${MAPPED}7f000001`;
export const LOOPBACK_6 = `${'0'.repeat(31)}1`;

const SOCKADDR_IN = 16;
const SOCKADDR_IN6 = 28;
/** Without sin6_scope_id (RFC 2133). */
const SHORT_IN6 = 24;

export function isVersion4(address: string): boolean {
  return address.startsWith(MAPPED);
}

export function isAny(address: string): boolean {
  return address === ANY_4 || address === ANY_6;
}

export function isLoopback(address: string): boolean {
  return address === LOOPBACK_6 || address.startsWith(`${MAPPED}7f`);
}

/** The family that a sockaddr says it is of. Throws SyscallError(EINVAL) when it is too short. */
export function familyOfAddress(bytes: Uint8Array): number {
  if (bytes.length < 2) throw new SyscallError(EINVAL);
  return bytes[0] | (bytes[1] << 8);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Reads a sockaddr for a socket of `family`. Throws SyscallError: EINVAL, EAFNOSUPPORT. */
export function parseInetAddress(family: number, bytes: Uint8Array): InetAddress {
  const given = familyOfAddress(bytes);
  if (bytes.length < (family === AF_INET ? SOCKADDR_IN : SHORT_IN6)) throw new SyscallError(EINVAL);
  if (given !== family) throw new SyscallError(EAFNOSUPPORT);
  const port = (bytes[2] << 8) | bytes[3];
  if (family === AF_INET) return { address: MAPPED + hex(bytes.subarray(4, 8)), port, scope: 0 };
  const scope =
    bytes.length < SOCKADDR_IN6 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(24, true);
  return { address: hex(bytes.subarray(8, 24)), port, scope };
}

/** The sockaddr of an address for a socket of `family`. */
export function packInetAddress(family: number, { address, port, scope }: InetAddress): Uint8Array {
  const bytes = new Uint8Array(family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6);
  const raw = Buffer.from(address, 'hex');
  bytes[0] = family;
  bytes[2] = port >>> 8;
  bytes[3] = port & 0xff;
  if (family === AF_INET) bytes.set(raw.subarray(12), 4);
  else {
    bytes.set(raw, 8);
    new DataView(bytes.buffer).setUint32(24, scope, true);
  }
  return bytes;
}

/** The address in the notation that people and Node use. */
export function formatAddress(address: string): string {
  const bytes = Buffer.from(address, 'hex');
  if (isVersion4(address)) return Array.from(bytes.subarray(12)).join('.');
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':');
}

/** The address that a text of Node's says; a zone is left out. */
export function addressOfText(text: string): string {
  const [plain] = text.split('%');
  if (!plain.includes(':')) return MAPPED + hex(Uint8Array.from(plain.split('.').map(Number)));
  const [head, tail] = plain.split('::');
  const groups = (part: string | undefined): string =>
    (part === undefined || part === '' ? [] : part.split(':'))
      .map((group) =>
        group.includes('.') ? hex(Uint8Array.from(group.split('.').map(Number))) : group.padStart(4, '0'),
      )
      .join('');
  const first = groups(head);
  const last = groups(tail);
  return first + '0'.repeat(32 - first.length - last.length) + last;
}

function readAddress(mem: SharedMemory, at: number): string {
  return hex(mem.u8.slice(at, at + 16));
}

/** A socket's own address and port. */
export function localInet(mem: SharedMemory, socket: number): InetAddress {
  return {
    address: readAddress(mem, socket + Socket.localAddress),
    port: mem.getU32(socket + Socket.localPort),
    scope: mem.getU32(socket + Socket.localScope),
  };
}

/** The address and port of the other end; port 0: there is none. */
export function remoteInet(mem: SharedMemory, socket: number): InetAddress {
  return {
    address: readAddress(mem, socket + Socket.remoteAddress),
    port: mem.getU32(socket + Socket.remotePort),
    scope: mem.getU32(socket + Socket.remoteScope),
  };
}

export function setLocalInet(mem: SharedMemory, socket: number, to: InetAddress): void {
  mem.u8.set(Buffer.from(to.address, 'hex'), socket + Socket.localAddress);
  mem.setU32(socket + Socket.localPort, to.port);
  mem.setU32(socket + Socket.localScope, to.scope);
}

export function setRemoteInet(mem: SharedMemory, socket: number, to: InetAddress): void {
  mem.u8.set(Buffer.from(to.address, 'hex'), socket + Socket.remoteAddress);
  mem.setU32(socket + Socket.remotePort, to.port);
  mem.setU32(socket + Socket.remoteScope, to.scope);
}

/** The address that stands for all of a family's. */
export function anyAddress(family: number): string {
  return family === AF_INET6 ? ANY_6 : ANY_4;
}
