/**
 * The system's codes of what a call fails with for want of something that may be there again in a moment: space, descriptors, memory, a device that answers. Any
 * other code is what the kernel or the file system has to say of the thing itself.
 */
export const SHORTAGES: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOBUFS',
  'EAGAIN',
  'EINTR',
  'EBUSY',
  'EIO',
  'ETIMEDOUT',
  'ESTALE',
]);
