/**
 * Owners of the host's files as guests see them. The user that runs Node is root to its guests, and so is the host's own root: what
 * belongs to either belongs to 0.
 */

const ownUid = process.geteuid?.() ?? 0;
const ownGid = process.getegid?.() ?? 0;

export function guestUid(uid: number): number {
  return uid === ownUid ? 0 : uid;
}

export function guestGid(gid: number): number {
  return gid === ownGid ? 0 : gid;
}

/** The host's number of a user of the guest's. */
export function hostUid(uid: number): number {
  return uid === 0 ? ownUid : uid;
}

export function hostGid(gid: number): number {
  return gid === 0 ? ownGid : gid;
}
