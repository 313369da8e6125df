import type { LayerRecord, TarState } from '../metadata/metadata-manager.js';

const REASONS: Readonly<Record<Exclude<TarState, 'kept'>, string>> = {
  older: 'it was pulled before format 2 of the store',
  off: 'it was stored without a tar record',
  'too-large': 'what is needed beside its files was too much to keep',
  seam: 'this store has made it, so it has no archive',
};

/** Why a layer's archive cannot be made again; undefined when it can. */
export function whyNotExportable({ tar }: Pick<LayerRecord, 'tar'>): string | undefined {
  return tar === 'kept' ? undefined : REASONS[tar];
}
