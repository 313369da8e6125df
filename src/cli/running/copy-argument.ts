import { UsageError } from '../usage-error.js';

/** What an argument of `cp` names. */
export type CopyArgument =
  | { readonly is: 'stream' }
  | { readonly is: 'machine'; readonly path: string }
  | { readonly is: 'container'; readonly containerId: string; readonly path: string };

/**
 * `-` is standard input or output; `CONTAINER:PATH` is parted at the first colon, since an id has none; what begins with a slash or a dot is of this machine, whatever is in it.
 * @see docs.docker.com, `docker container cp`, "Extended description"
 */
export function copyArgument(text: string): CopyArgument {
  if (text === '-') return { is: 'stream' };
  if (text === '') throw new UsageError('a path is empty', 'write CONTAINER:PATH, or a path of this machine');
  const colon = text.indexOf(':');
  if (colon < 0 || text.startsWith('/') || text.startsWith('.')) return { is: 'machine', path: text };
  const [containerId, path] = [text.slice(0, colon), text.slice(colon + 1)];
  if (containerId === '')
    throw new UsageError(`there is no container in ${JSON.stringify(text)}`, `a file of that name is ./${text}`);
  if (path === '')
    throw new UsageError(`there is no path in ${JSON.stringify(text)}`, `its root directory is ${containerId}:/`);
  return { is: 'container', containerId, path };
}
