import { ProvisionerError } from '../base/errors.js';

/**
 * Values in one document: objects, lists, and what is in them. Three bytes are enough for an object, and four million bytes of them would hold the event loop for a quarter of a
 * second. An index of twenty thousand images has three quarters as many; a config has some hundreds.
 */
export const VALUES_LIMIT = 200_000;

/**
 * Layers of an image. Docker makes images of 127 at most and overlay mounts 500; what is beyond them can only be copied. Work that goes through the layers of an image is done
 * in one go because of this.
 */
export const LAYERS_LIMIT = 1000;

/** Objects and lists within each other. Those who write documents out again, as `inspect` does, go as deep as these do; no document of the specifications has ten. */
const DEPTH_LIMIT = 500;

/** More values than the limit, or deeper within each other? Said before parsing, of any text. @throws ProvisionerError `ERR_LIMIT_EXCEEDED` */
export function checkDocumentValues(text: string, subject: string): void {
  if (text.length > 2 * DEPTH_LIMIT && depthOf(text) > DEPTH_LIMIT) {
    throw new ProvisionerError(
      'ERR_LIMIT_EXCEEDED',
      `${subject} has more than ${DEPTH_LIMIT} values within each other`,
      {
        hint: 'no proper image needs that: have it rebuilt',
        details: { limit: DEPTH_LIMIT },
      },
    );
  }
  // A value takes a byte, and a comma or bracket.
  if (text.length <= 2 * VALUES_LIMIT || countValues(text) <= VALUES_LIMIT) return;
  throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${subject} has more than ${VALUES_LIMIT} values`, {
    hint: 'no proper image needs that many: have it rebuilt',
    details: { limit: VALUES_LIMIT },
  });
}

/** @throws ProvisionerError `ERR_LIMIT_EXCEEDED` */
export function checkLayerCount(layers: number, subject: string): void {
  if (layers <= LAYERS_LIMIT) return;
  throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${subject} has ${layers} layers; the limit is ${LAYERS_LIMIT}`, {
    hint: 'no tool makes images of that many: have it rebuilt',
    details: { layers, limit: LAYERS_LIMIT },
  });
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const LIST_END = 0x5d;
const OBJECT_END = 0x7d;
const LIST = 0x5b;
const OBJECT = 0x7b;

/** How many values a text has as JSON, or a few more; stops beyond the limit. */
function countValues(text: string): number {
  let count = 1;
  for (let at = 0; at < text.length && count <= VALUES_LIMIT; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = endOfText(text, at);
    else if (character === COMMA || character === LIST || character === OBJECT) count++;
  }
  return count;
}

/** How deep the values of a text as JSON lie within each other at most; stops beyond the limit. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length && deepest <= DEPTH_LIMIT; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = endOfText(text, at);
    else if (character === LIST || character === OBJECT) deepest = Math.max(deepest, ++depth);
    else if (character === LIST_END || character === OBJECT_END) depth--;
  }
  return deepest;
}

/** @returns where the quote is that ends what begins at `start` */
function endOfText(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) return at;
    if (character === BACKSLASH) at++;
  }
  return text.length;
}
