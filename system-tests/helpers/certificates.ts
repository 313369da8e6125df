import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './test-store.js';

/** Files of a certificate, and of the authority that signed it. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  /** A directory with the authority as `ca.crt` and nothing else. */
  readonly authority: string;
}

/** A certificate by an authority of its own. @param names whom it is for. Default: `localhost` and 127.0.0.1 */
export function makeCertificate(names: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1']): Certificate {
  const directory = temporaryDirectory();
  const authority = join(directory, 'authority');
  mkdirSync(authority);
  const ca = join(authority, 'ca.crt');
  const [caKey, key, request, certificate, extensions] = [
    'ca.key',
    'server.key',
    'server.csr',
    'server.crt',
    'extensions',
  ].map((name) => join(directory, name)) as [string, string, string, string, string];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', caKey, '-out', ca, '-days', '2', '-subj', '/CN=authority of a test');
  openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', '/CN=localhost');
  writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
  const signed = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-extfile', extensions];
  openssl('x509', '-req', '-in', request, '-out', certificate, ...signed);
  return { certificate, key, authority };
}

export function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
