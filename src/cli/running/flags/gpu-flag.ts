import { UsageError } from '../../usage-error.js';

const GPUS = 'nvidia.com/gpu';
const CAPABILITY = 'gpu|nvidia|compute|compat32|graphics|utility|video|display|ngx|all';

/** Words of Docker's that say how many, which, whose, and what for. The last two are so in any case: a CDI file brings all that there is, and this kind is NVIDIA's. */
const MEANT: Readonly<Record<string, RegExp>> = {
  count: /^(?:all|-1|[0-9]{1,3})$/,
  device: /^[A-Za-z0-9_.:-]+(?:,[A-Za-z0-9_.:-]+)*$/,
  driver: /^(?:nvidia|cdi)?$/,
  capabilities: new RegExp(`^(?:${CAPABILITY})(?:,(?:${CAPABILITY}))*$`),
};

/**
 * Which devices `--gpus` means, by the names that NVIDIA's own tools give them: how many from 0 on, or which.
 * @returns names of CDI devices @throws UsageError
 */
export function gpusOf(text: string): string[] {
  const words = new Map<string, string>();
  for (const [name, value] of wordsOf(text)) {
    if (words.has(name) || MEANT[name]?.test(value) !== true) throw nothingSaid(text);
    words.set(name, value);
  }
  const [count, device] = [words.get('count'), words.get('device')];
  if ((count === undefined) === (device === undefined)) throw nothingSaid(text);
  if (device !== undefined) return device.split(',').map((name) => `${GPUS}=${name}`);
  if (count === 'all' || count === '-1') return [`${GPUS}=all`];
  return Array.from({ length: Number(count) }, (_, index) => `${GPUS}=${index}`);
}

/** A line of CSV, in which a word with commas is quoted as a whole. What has no name is a number, or goes on with the list before it, as shells leave it that take the quotes away. */
function wordsOf(text: string): [name: string, value: string][] {
  const words: [string, string][] = [];
  const fields = [...text.matchAll(/(?:^|,)(?:"([^"]*)"|([^",]*))(?=,|$)/g)].map(
    ([, quoted, plain]) => quoted ?? plain ?? '',
  );
  if (fields.join(',') !== text.replaceAll('"', '')) throw nothingSaid(text);
  for (const field of fields) {
    const at = field.indexOf('=');
    const last = words.at(-1);
    if (at > 0) words.push([field.slice(0, at), field.slice(at + 1)]);
    else if (last === undefined) words.push(['count', field]);
    else if (last[0] === 'device' || last[0] === 'capabilities') last[1] += `,${field}`;
    else throw nothingSaid(text);
  }
  return words;
}

function nothingSaid(text: string): UsageError {
  return new UsageError(
    `--gpus: ${JSON.stringify(text)} says nothing of GPUs`,
    'write all, a number, or device=0,1; count=N, driver=nvidia and capabilities=… of Docker are understood too, options=… is not; others by --device VENDOR/CLASS=NAME',
  );
}
