import type { CommanderError } from 'commander';
import { KNOWN_ELSEWHERE } from './commands/known-elsewhere.js';

/** The command was written wrongly: exit status 2. */
export class UsageError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = 'UsageError';
    this.hint = hint;
  }
}

const PRUNE_VOLUMES =
  '`provisioner volume ls -q -f dangling=true | xargs -r provisioner volume rm` removes those that no container has';

/** @param command as the user writes it: `provisioner pull` */
export function usageErrorFrom(error: CommanderError, command: string): UsageError {
  // The parser's message begins with "error: " and may have a suggestion on a second line.
  const [message = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const [, unknown = ''] = /^unknown command '(.*)'$/.exec(message) ?? [];
  if (Object.hasOwn(KNOWN_ELSEWHERE, unknown)) return new UsageError(message, KNOWN_ELSEWHERE[unknown]);
  if (unknown === 'prune' && command === 'provisioner volume') return new UsageError(message, PRUNE_VOLUMES);
  const suggestion = more.join(' ').replace(/^\((.*)\)$/, '$1');
  const question = suggestion === '' ? '' : `${suggestion.charAt(0).toLowerCase()}${suggestion.slice(1)} `;
  return new UsageError(message, `${question}\`${command} --help\` shows how it is written`);
}
