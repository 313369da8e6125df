import type { VolumeInfo } from '../../../index.js';
import { UsageError } from '../../usage-error.js';

type Fits = (volume: VolumeInfo) => boolean;

/** Of `volume ls --filter`, as Docker has them: all must fit. @throws UsageError */
export function volumeFilter(texts: readonly string[]): Fits {
  const filters = texts.map(filterOf);
  return (volume) => filters.every((fits) => fits(volume));
}

function filterOf(text: string): Fits {
  const [, key, value = ''] = /^([a-z]+)=(.+)$/s.exec(text) ?? [];
  switch (key) {
    case 'dangling':
      if (!/^(?:true|false|1|0)$/.test(value)) break;
      return ({ containers }) => (containers.length === 0) === (value === 'true' || value === '1');
    case 'name':
      return ({ name }) => name.includes(value);
    case 'owner':
      return ({ owner }) => owner === value;
    case 'label': {
      const [, name = '', wanted] = /^([^=]+)(?:=(.*))?$/s.exec(value) ?? [];
      if (name === '') break;
      return ({ labels }) => Object.hasOwn(labels, name) && (wanted === undefined || labels[name] === wanted);
    }
  }
  throw new UsageError(
    `--filter: not a filter of volumes: ${JSON.stringify(text)}`,
    'there are: dangling=true, dangling=false, name=PART, label=NAME, label=NAME=VALUE, owner=NAME',
  );
}
