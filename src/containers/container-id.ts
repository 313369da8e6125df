import { ProvisionerError } from '../base/errors.js';

const PART = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
/** A part names a directory, and file systems take 255 bytes. */
const PART_MAX = 200;
/** Nesting deeper than anybody's containers; keeps paths short. */
const DEPTH_MAX = 32;

/**
 * Checks an id such as `job-1` or `pod/sidecar`. What passes is safe as a path: no part is empty, begins with a dot, or holds a slash.
 * @throws ProvisionerError `ERR_BAD_CONTAINER_ID`
 */
export function checkContainerId(id: string): string {
  const parts = id.split('/');
  const fault =
    parts.length > DEPTH_MAX
      ? `it is nested deeper than ${DEPTH_MAX}`
      : parts.some((part) => part.length > PART_MAX)
        ? `a part of it is longer than ${PART_MAX} characters`
        : parts.every((part) => PART.test(part))
          ? undefined
          : 'a part of it is empty or holds other characters than letters, digits, "_", "." and "-", or does not begin with a letter or digit';
  if (fault === undefined) return id;
  const shown = id.length > 80 ? `${id.slice(0, 80)}…` : id;
  throw new ProvisionerError('ERR_BAD_CONTAINER_ID', `not a container id: ${JSON.stringify(shown)}: ${fault}`, {
    hint: 'write an id such as job-1, or parent/child for a nested container',
    details: { containerId: shown },
  });
}
