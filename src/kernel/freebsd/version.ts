/** The FreeBSD that programs see: __FreeBSD_version and the release. */
export const OSRELDATE = 1402000;
export const OSRELEASE = '14.2-RELEASE';
export const OSTYPE = 'FreeBSD';
