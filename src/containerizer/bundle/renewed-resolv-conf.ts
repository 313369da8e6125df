import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeOwnFile } from '../../base/own-files.js';
import { readOrEmpty } from '../read-or-empty.js';
import { resolvConf } from './network-files.js';

/** What was last written into the container's file by us: another text is what somebody in the container has written. */
const MADE = 'resolv.conf.made';

export function rememberResolvConf(bundle: string, text: string): void {
  writeOwnFile(join(bundle, MADE), text);
}

/**
 * Has a container's `/etc/resolv.conf` say what the machine's says now, in place, since it is that file that the container has mounted. One that has been changed in the container is left alone.
 * @param bundle absolute @param host the machine's @param dns what the launch was told
 * @throws like Node's `fs`
 */
export function renewResolvConf(bundle: string, host: string, dns: readonly string[] | undefined): void {
  const path = join(bundle, 'resolv.conf');
  const now = readOrEmpty(path);
  const text = resolvConf(host, dns);
  if (text === now || now !== readOrEmpty(join(bundle, MADE))) return;
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    // Never empty in between, for whoever reads it meanwhile.
    writeSync(descriptor, text, 0);
    ftruncateSync(descriptor, Buffer.byteLength(text));
  } finally {
    closeSync(descriptor);
  }
  rememberResolvConf(bundle, text);
}
