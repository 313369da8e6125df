import type { Readable } from 'node:stream';
import { abortedError, ProvisionerError } from '../../base/errors.js';
import { readToEnd } from '../../base/foreign-file.js';

/**
 * The one line of a stream: the line end is cut, be it Unix's or Windows', and nothing else.
 * @throws ProvisionerError `ERR_BAD_OPTION` for more than a line, or what is no text; `ERR_ABORTED`. Nothing of it is in a message
 */
export async function readSecretLine(stream: Readable, signal: AbortSignal): Promise<string> {
  let text: string;
  try {
    text = await readToEnd(stream, signal);
  } catch (error) {
    throw signal.aborted ? abortedError(signal) : error;
  }
  const line = text.replace(/\r?\n$/, '');
  const problem = /[\r\n]/.test(line) ? 'has more than one line' : line.includes('\ufffd') ? 'is not UTF-8' : undefined;
  if (problem === undefined) return line;
  throw new ProvisionerError('ERR_BAD_OPTION', `standard input ${problem}, and is to be the password alone`, {
    hint: 'write the password as one line, such as with `printf \'%s\\n\' "$PASSWORD"`',
  });
}
