import { ProvisionerError } from '../../base/errors.js';
import type { LaunchChange } from './launch-records.js';

/**
 * Holds a change against what holds for every launch, before anything is looked up.
 * @returns it with the time of its end, when it is one
 * @throws ProvisionerError `ERR_BAD_OPTION`
 */
export function checkedChange(id: string, change: LaunchChange, now: number): LaunchChange {
  const { from, to, finishedAt, exit } = change;
  if (to === 'exited') {
    if (exit === undefined) throw badChange(id, 'becomes `exited` without an exit');
    if (from.includes('exited')) throw badChange(id, 'ends twice');
    return { ...change, finishedAt: finishedAt ?? now };
  }
  if (to !== undefined && from.includes('exited')) throw badChange(id, `becomes \`${to}\` after its end`);
  if (finishedAt !== undefined) throw badChange(id, 'gets the time of an end that it does not come to');
  const mayHaveExit = to === undefined ? from.every(mayHave) : mayHave(to);
  if (exit !== undefined && !mayHaveExit) throw badChange(id, 'gets an exit in a state that has none');
  return change;
}

function mayHave(state: LaunchChange['from'][number]): boolean {
  return state === 'undead' || state === 'exited';
}

function badChange(id: string, what: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `launch ${id} ${what}`, {
    hint: 'nothing leads out of `exited`, and an end has an exit',
    details: { launch: id },
  });
}
