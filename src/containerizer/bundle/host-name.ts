import { ProvisionerError } from '../../base/errors.js';

/** The kernel's own limit. @see sethostname(2) */
const LONGEST = 64;
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const LONGEST_LABEL = 63;
/** As many digits as Docker has. */
const ID_DIGITS = 12;

/** Whether it may be the name of a host. @see RFC 1123, 2.1 */
export function isHostName(text: string): boolean {
  return text.length <= 253 && HOST_NAME.test(text);
}

/**
 * @param wanted as the caller has it; what is left out is made of the last part of the container id, and where nothing of that may be in a host name, of the launch id
 * @throws ProvisionerError `ERR_BAD_OPTION`
 */
export function hostNameOf(wanted: string | undefined, containerId: string, launchId: string): string {
  if (wanted !== undefined) {
    if (isHostName(wanted) && wanted.length <= LONGEST) return wanted;
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(wanted)} is no host name`, {
      hint: `use letters, digits and -, with dots between the parts, ${LONGEST} characters at most`,
      details: { hostname: wanted },
    });
  }
  const last = containerId.slice(containerId.lastIndexOf('/') + 1);
  const name = last
    .replace(/[^A-Za-z0-9.-]/g, '-')
    .slice(0, LONGEST_LABEL)
    .split('.')
    .map((label) => label.replace(/^-+|-+$/g, ''))
    .filter((label) => label !== '')
    .join('.');
  return name === '' ? launchId.slice(0, ID_DIGITS) : name;
}
