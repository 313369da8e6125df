import { ProvisionerError } from '../base/errors.js';
import { absolutePath } from '../base/working-directory.js';
import { formatReference, parseReference, type Reference } from '../image/reference.js';

/**
 * Where an image comes from, written with the transports of skopeo and podman:
 *
 *   docker://REF                a registry; the default for a plain reference
 *   oci:DIR[:REF]               a directory with an OCI layout
 *   oci-archive:FILE[:REF]      an OCI layout in a tar file
 *   docker-archive:FILE[:REF]   what `docker save` writes
 *
 * The path ends at the first colon; what follows is REF, which may hold more of them. So a path with a colon cannot be
 * written, as with skopeo: what the text means must not depend on which files exist. (A program may still make such a
 * `Source` itself.) REF is a tag, a name or a digest as the source writes it, or `@N` for its N-th image, from 0.
 */
export type Source = RegistrySource | PathSource;

export interface RegistrySource {
  readonly transport: 'docker';
  readonly reference: Reference;
}

export interface PathSource {
  readonly transport: 'oci' | 'oci-archive' | 'docker-archive';
  /** As the user wrote it: relative to the working directory, or absolute. */
  readonly path: string;
  readonly reference?: string;
}

/** What skopeo also reads and we do not; refused by name, because most would pass for an image called so. */
const FOREIGN_TRANSPORTS = ['containers-storage', 'docker-daemon', 'dir', 'ostree', 'sif', 'tarball', 'atomic'];

/** @throws ProvisionerError `ERR_BAD_SOURCE`, `ERR_BAD_REFERENCE`, `ERR_SOURCE_UNSUPPORTED` */
export function parseSource(text: string): Source {
  const { scheme, rest } = splitScheme(text);
  switch (scheme) {
    case 'oci':
    case 'oci-archive':
    case 'docker-archive':
      return parsePathSource(text, scheme, rest);
    case 'docker':
      // `docker:27` is an image with a tag; only the slashes make it a transport.
      if (rest.startsWith('//')) return { transport: 'docker', reference: parseReference(rest.slice(2)) };
      break;
    case 'http':
    case 'https':
      if (rest.startsWith('//'))
        throw badSource(text, 'a web address is no source', 'write docker://REGISTRY/REPOSITORY:TAG');
      break;
    default:
      if (FOREIGN_TRANSPORTS.includes(scheme)) throw foreignTransport(text, scheme);
  }
  if (/^\.{0,2}\/|^~/.test(text))
    throw badSource(text, 'a path needs a transport', `write oci:${text} or docker-archive:${text}`);
  return { transport: 'docker', reference: parseReference(text) };
}

/** The same, wherever the working directory is. @throws ProvisionerError `ERR_BAD_OPTION` for a relative path from a working directory that has been deleted */
export function withAbsolutePath(source: Source): Source {
  return source.transport === 'docker' ? source : { ...source, path: absolutePath(source.path) };
}

/** The canonical text of a source: `parseSource` reads it back. */
export function formatSource(source: Source): string {
  if (source.transport === 'docker') return `docker://${formatReference(source.reference)}`;
  return `${source.transport}:${source.path}${source.reference === undefined ? '' : `:${source.reference}`}`;
}

function parsePathSource(text: string, transport: PathSource['transport'], rest: string): PathSource {
  const colon = rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const form = `write ${transport}:${transport === 'oci' ? 'DIR' : 'FILE'}[:REF]`;
  if (path === '') throw badSource(text, 'the path is missing', form);
  if (path.includes('\0')) throw badSource(text, 'the path holds a NUL character', form);
  if (colon < 0) return { transport, path };
  const reference = rest.slice(colon + 1);
  // Most likely an empty variable in a script; taking whatever image is there would hide that.
  if (reference === '') throw badSource(text, 'nothing follows the last colon', form);
  return { transport, path, reference };
}

function splitScheme(text: string): { scheme: string; rest: string } {
  const colon = text.indexOf(':');
  return colon < 0 ? { scheme: '', rest: text } : { scheme: text.slice(0, colon), rest: text.slice(colon + 1) };
}

function foreignTransport(text: string, scheme: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_SOURCE_UNSUPPORTED',
    `the transport ${scheme} is not supported: ${JSON.stringify(text)}`,
    {
      hint: 'copy the image to an OCI layout first, for example with skopeo copy, and write oci:DIR',
      details: { source: text, transport: scheme },
    },
  );
}

function badSource(text: string, problem: string, hint: string): ProvisionerError {
  const safe = text.replace(/\/\/[^/]*@/, '//***@');
  return new ProvisionerError('ERR_BAD_SOURCE', `not a source: ${JSON.stringify(safe)}: ${problem}`, {
    hint: hint.replace(text, safe),
    details: { source: safe },
  });
}
