import { fileError, ProvisionerError, systemCode } from '../base/errors.js';

/** What the archive asks for and this file system does not have: ENAMETOOLONG, EMLINK (ext4: 65 000 names of a file), EFBIG (ext4: 16 TiB). */
const BEYOND_FILE_SYSTEM: Readonly<Record<string, string>> = {
  ENAMETOOLONG: 'a path longer',
  EMLINK: 'a file with more names',
  EFBIG: 'a file larger',
};

/**
 * A value that is larger than this file system keeps, where others would.
 * @param what the attribute and the entry, as the beginning of a sentence @param bytes of its value
 * @see ext4(5), "ea_inode"; xattr(7), "Filesystem differences"
 */
export function attributeTooLarge(what: string, bytes: number, cause: unknown): ProvisionerError {
  return new ProvisionerError(
    'ERR_LIMIT_EXCEEDED',
    `${what} has ${bytes} bytes, with which the file has more in its attributes than this file system keeps`,
    {
      cause,
      hint: 'use a store on a file system that keeps them, with --root: xfs, or ext4 made with `-O ea_inode`; ext4 keeps 4 KiB in all without it',
      details: { bytes },
    },
  );
}

/** System errors of whoever writes what a layer asks for, in words that speak of layers. @param action as `fileError` has it */
export function explainFailure(error: unknown, action: string, rootfs: string): ProvisionerError {
  const asked = BEYOND_FILE_SYSTEM[systemCode(error) ?? ''];
  if (asked === undefined) return fileError(error, action, rootfs);
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `the layer has ${asked} than this system takes`, {
    cause: error,
    hint: 'the image cannot be unpacked on this file system',
  });
}
