import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { abortedError, ProvisionerError } from '../../base/errors.js';
import type { HostProcess } from '../host-process.js';

export interface Question {
  readonly text: string;
  /** The answer does not show while it is typed. Default: it does. */
  readonly secret?: boolean;
}

/**
 * Asks whoever sits at the terminal, on stderr, since stdout is for results.
 * @returns an answer to each question
 * @throws ProvisionerError `ERR_ABORTED` when it is interrupted, `ERR_BAD_OPTION` when input ends
 */
export async function askOnTerminal(
  { stdin, stderr, signal }: Pick<HostProcess, 'stdin' | 'stderr' | 'signal'>,
  questions: readonly Question[],
): Promise<string[]> {
  const answers: string[] = [];
  // What is typed or pasted ahead is the answer to the next question already, and shows as little.
  const isSecret = () => answers.length >= questions.length || questions[answers.length]?.secret === true;
  const echo = new Writable({
    write: (chunk, _, done) => {
      if (!isSecret()) stderr.write(String(chunk));
      done();
    },
  });
  const reader = createInterface({ input: stdin(), output: echo, terminal: true, historySize: 0 });
  reader.on('line', (line) => {
    if (isSecret()) stderr.write('\n');
    answers.push(line);
  });
  // A terminal that is read key by key sends no signal by itself.
  reader.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = once(reader, 'close');
  const close = () => reader.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    if (signal.aborted) throw abortedError(signal);
    for (const [position, { text, secret = false }] of questions.entries()) {
      // One that has been answered ahead needs no asking.
      while (answers.length <= position) {
        const answered = once(reader, 'line').then(() => false);
        reader.setPrompt(secret ? '' : text);
        if (secret) stderr.write(text);
        else reader.prompt();
        if (!(await Promise.race([answered, closed.then(() => true)]))) continue;
        stderr.write('\n');
        if (signal.aborted) throw abortedError(signal);
        throw new ProvisionerError('ERR_BAD_OPTION', 'there was no answer', { hint: 'log in again' });
      }
    }
    return answers.slice(0, questions.length);
  } finally {
    signal.removeEventListener('abort', close);
    reader.close();
  }
}
