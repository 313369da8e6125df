import type { ImageRecord } from './image-records.js';

/** The order of a list of images: newest first, ties by id. */
export function newestFirst(one: Pick<ImageRecord, 'id' | 'createdAt'>, other: typeof one): number {
  return other.createdAt - one.createdAt || (one.id < other.id ? -1 : Number(one.id > other.id));
}
