import { constants } from 'node:os';
import { ProvisionerError } from '../base/errors.js';

/** The first and the last signal for real-time use, as the C library hands them out. @see signal(7) */
const RTMIN = 34;
const RTMAX = 64;

/** @param signal a number, or a name with or without `SIG`, in any case; `RTMIN+3` as well @throws ProvisionerError `ERR_SIGNAL_UNKNOWN` */
export function signalNumber(signal: string | number): number {
  const name = String(signal).trim().toUpperCase().replace(/^SIG/, '');
  const number = /^\d+$/.test(name) ? Number(name) : numberOf(name);
  if (number !== undefined && number >= 1 && number <= RTMAX) return number;
  throw new ProvisionerError('ERR_SIGNAL_UNKNOWN', `${JSON.stringify(signal)} is no signal`, {
    hint: 'write a name, such as TERM or SIGHUP, or a number from 1 to 64',
    details: { signal: String(signal) },
  });
}

function numberOf(name: string): number | undefined {
  const [, edge, distance = '0'] = /^(RTMIN|RTMAX)(?:([+-]\d+))?$/.exec(name) ?? [];
  if (edge !== undefined) {
    const number = (edge === 'RTMIN' ? RTMIN : RTMAX) + Number(distance);
    return number >= RTMIN ? number : undefined;
  }
  return (constants.signals as Readonly<Record<string, number>>)[`SIG${name}`];
}

/** What asks a program to end, as its image names it: that may be what there is not. */
export function stopSignalOf(named: string): string {
  try {
    if (named !== '') signalNumber(named);
    return named || 'SIGTERM';
  } catch {
    return 'SIGTERM';
  }
}
