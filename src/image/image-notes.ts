import { type ImageConfig, readStoredConfig } from './image-config.js';
import { isVague } from './media-types.js';

/** The documents of a stored image, and the platform that it was taken for. */
export interface NotedImage {
  readonly manifest: string;
  readonly config: string;
  readonly platform: string;
}

interface NotedManifest {
  readonly schemaVersion?: number | null;
  readonly config?: { readonly mediaType?: string | null } | null;
  readonly layers?: readonly { readonly mediaType?: string | null }[] | null;
}

/** What is odd about an image's documents and was put up with, a sentence for each; mostly none. Documents that are damaged have none either. */
export function imageNotes({ manifest, config, platform }: NotedImage): string[] {
  try {
    return [...manifestNotes(JSON.parse(manifest)), ...configNotes(readStoredConfig(config), platform)];
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return [];
    throw error;
  }
}

function manifestNotes({ schemaVersion, config, layers }: NotedManifest): string[] {
  const notes: string[] = [];
  if (schemaVersion !== 2) notes.push('the manifest does not state that it is of schema 2');
  const configType = config?.mediaType ?? '';
  if (isVague(configType) || /layer|rootfs/.test(configType))
    notes.push(`the manifest ${called(configType)} the config, which reads as that of an image`);
  const vague = (layers ?? []).filter(({ mediaType }) => isVague(mediaType ?? ''));
  const [first] = vague;
  if (first !== undefined) notes.push(`the manifest ${called(first.mediaType ?? '')} ${vague.length} of its layers`);
  return notes;
}

function configNotes({ os, architecture, rootfs, config }: ImageConfig, platform: string): string[] {
  const notes: string[] = [];
  const lacking = [...(os ? [] : ['os']), ...(architecture ? [] : ['architecture'])].join(' and ');
  if (lacking !== '') notes.push(`the config states no ${lacking}: the image was taken for one of ${platform}`);
  if (!rootfs.type) notes.push('the config does not state of what kind its rootfs is');
  for (const field of ['Entrypoint', 'Cmd'] as const) {
    if (typeof config?.[field] === 'string') notes.push(`${field} in the config is one text in place of a list`);
  }
  return notes;
}

function called(mediaType: string): string {
  return mediaType === '' ? 'states no type of' : `states the type ${JSON.stringify(mediaType.slice(0, 200))} of`;
}
