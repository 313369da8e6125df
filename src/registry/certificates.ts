import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, systemCode } from '../errors.js';
import type { TlsSettings } from './endpoint.js';
import type { ClientFiles } from './hosts-file.js';
import { badSetting } from './registry-errors.js';

/** @throws ProvisionerError `ERR_REGISTRY_CONFIG` for a file without a certificate, `ERR_PERMISSION`, `ERR_IO` */
export async function readCertificates(
  caFiles: readonly string[],
  clientFiles: ClientFiles | undefined,
): Promise<Pick<TlsSettings, 'ca' | 'client'>> {
  const ca = await Promise.all(caFiles.map((path) => readPem(path, 'CERTIFICATE')));
  if (clientFiles === undefined) return { ca };
  const cert = await readPem(clientFiles.cert, 'CERTIFICATE');
  const key = clientFiles.key === undefined ? cert : await readPem(clientFiles.key, 'PRIVATE KEY');
  return { ca, client: { cert, key } };
}

/**
 * The certificates of a directory as Docker lays them out: `*.crt` are authorities, `*.cert` with the `*.key` beside it identify the client.
 * @returns undefined when there is no such directory
 * @see docs.docker.com, "Verify repository client with certificates"; containers-certs.d(5)
 */
export async function readCertificateDirectory(
  directory: string,
): Promise<Pick<TlsSettings, 'ca' | 'client'> | undefined> {
  const names = await listDirectory(directory);
  if (names === undefined) return undefined;
  const caFiles = names.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name));
  const cert = names.find((name) => name.endsWith('.cert'));
  if (cert === undefined) return readCertificates(caFiles, undefined);
  const key = cert.replace(/\.cert$/, '.key');
  return readCertificates(caFiles, {
    cert: join(directory, cert),
    ...(names.includes(key) ? { key: join(directory, key) } : {}),
  });
}

async function listDirectory(directory: string): Promise<string[] | undefined> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw fileError(error, 'look for certificates', directory);
  }
}

async function readPem(path: string, kind: 'CERTIFICATE' | 'PRIVATE KEY'): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw badSetting(
      `cannot read ${path}: ${systemCode(error)}`,
      'check the path, and who may read it',
      { path },
      error,
    );
  }
  if (new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  const what = kind === 'CERTIFICATE' ? 'certificate' : 'private key';
  throw badSetting(`${path} holds no ${what} in PEM form`, `convert it with openssl, or name another file`, { path });
}
