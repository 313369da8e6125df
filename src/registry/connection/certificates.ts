import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { fileError, firstLine, systemCode } from '../../base/errors.js';
import { readForeignText } from '../../base/foreign-file.js';
import type { TlsSettings } from '../endpoint.js';
import type { ClientFiles } from '../hosts-file.js';
import { badSetting } from '../registry-errors.js';

/** @throws ProvisionerError `ERR_REGISTRY_CONFIG` for a file that is not what it has to be, and for a key of another certificate */
export async function readCertificates(
  caFiles: readonly string[],
  clientFiles: ClientFiles | undefined,
): Promise<Pick<TlsSettings, 'ca' | 'client'>> {
  const ca = await Promise.all(caFiles.map(readCertificate));
  if (clientFiles === undefined) return { ca };
  const { cert: certFile, key: keyFile = certFile } = clientFiles;
  const cert = await readCertificate(certFile);
  const key = await readPem(keyFile, 'PRIVATE KEY');
  checkPair(cert, certFile, key, keyFile);
  return { ca, client: { cert, key } };
}

/**
 * The certificates of a directory as Docker lays them out: `*.crt` are authorities, `*.cert` with the `*.key` beside it identify the client.
 * Of several the first in alphabetical order is used.
 * @returns undefined when there is no such directory
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`, also for one of the two without the other; `ERR_PERMISSION`, `ERR_IO`
 * @see docs.docker.com, "Verify repository client with certificates"; containers-certs.d(5)
 */
export async function readCertificateDirectory(
  directory: string,
): Promise<Pick<TlsSettings, 'ca' | 'client'> | undefined> {
  const names = await listDirectory(directory);
  if (names === undefined) return undefined;
  const named = (suffix: string) => names.filter((name) => name.endsWith(suffix)).map((name) => join(directory, name));
  const [certs, keys] = [named('.cert'), named('.key')];
  // A name that was mistyped would make us come without a certificate, and the registry would be blamed for refusing us.
  for (const cert of certs) {
    if (keys.includes(keyOf(cert))) continue;
    throw badSetting(`there is no key for ${cert}`, `put it beside it as ${keyOf(cert)}`, { path: cert });
  }
  for (const key of keys) {
    if (certs.some((cert) => keyOf(cert) === key)) continue;
    const cert = key.replace(/\.key$/, '.cert');
    const hint = `put it beside it as ${cert}; files named *.crt are authorities to trust`;
    throw badSetting(`there is no certificate for ${key}`, hint, { path: key });
  }
  const [cert] = certs;
  return readCertificates(named('.crt'), cert === undefined ? undefined : { cert, key: keyOf(cert) });
}

function keyOf(cert: string): string {
  return cert.replace(/\.cert$/, '.key');
}

/** Found out here: in the middle of a connection it would look like a fault of the network. */
function checkPair(cert: string, certFile: string, key: string, keyFile: string): void {
  const fault = (problem: string, hint: string, cause?: unknown) =>
    badSetting(`${keyFile} cannot be used: ${problem}`, hint, { path: keyFile }, cause);
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
    throw fault('it is protected by a passphrase', 'take it off with `openssl pkey -in KEY -out KEY`');
  }
  let belongs: boolean;
  try {
    belongs = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    // Refuses what TLS does not take, such as a key that is too short.
    if (belongs) createSecureContext({ cert, key });
  } catch (error) {
    throw fault(
      'it is damaged, or of a kind that TLS does not take',
      'make it anew, or convert it with openssl',
      error,
    );
  }
  if (!belongs) throw fault(`it is not the key of ${certFile}`, 'name the key that the certificate was made with');
}

async function readCertificate(path: string): Promise<string> {
  const text = await readPem(path, 'CERTIFICATE');
  try {
    new X509Certificate(text);
    return text;
  } catch (error) {
    // OpenSSL would leave it out, and the registry would seem to be of an unknown authority.
    throw badSetting(`the certificate in ${path} is damaged`, 'copy it anew', { path }, error);
  }
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
    text = await readForeignText(path);
  } catch (error) {
    throw badSetting(
      `cannot read ${path}: ${systemCode(error) ?? firstLine(error)}`,
      'check the path, and who may read it',
      { path },
      error,
    );
  }
  if (new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  const what = kind === 'CERTIFICATE' ? 'certificate' : 'private key';
  throw badSetting(`${path} holds no ${what} in PEM form`, `convert it with openssl, or name another file`, { path });
}
