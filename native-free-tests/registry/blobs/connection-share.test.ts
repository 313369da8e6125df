import { expect, it } from 'vitest';
import { ConnectionBoard, ConnectionShare, type ShareOfConnections } from '#src/registry/blobs/connection-share.js';

const entered = (board: ConnectionBoard, host: string, limit: number) => {
  const place = board.enter(host, limit) as ShareOfConnections;
  return { place, share: new ConnectionShare(place) };
};
const takeAll = (share: ConnectionShare) => {
  let taken = 0;
  while (share.take()) taken++;
  return taken;
};

it('a layer gets connections up to the limit of its host, its first one counted', () => {
  const board = new ConnectionBoard();
  expect(takeAll(entered(board, 'a', 1).share)).toBe(0);
  expect(takeAll(entered(board, 'b', 4).share)).toBe(3);
});

it('a layer that begins takes the place of one that another has too many, which gives it back', () => {
  const board = new ConnectionBoard();
  const first = entered(board, 'a', 4);
  expect(takeAll(first.share)).toBe(3);
  expect(first.share.isOver()).toBe(false);
  const second = entered(board, 'a', 4);
  expect(first.share.isOver()).toBe(true);
  expect(second.share.take()).toBe(false);
  first.share.giveBack();
  expect(first.share.isOver()).toBe(false);
});

it('those of another host count for nothing, but for the memory that all of them take', () => {
  const board = new ConnectionBoard();
  expect(takeAll(entered(board, 'a', 6).share)).toBe(5);
  expect(takeAll(entered(board, 'b', 6).share)).toBe(3);
  expect(takeAll(entered(board, 'c', 6).share)).toBe(0);
});

it('what a layer had is free when it leaves, though its thread has given nothing back', () => {
  const board = new ConnectionBoard();
  const { place, share } = entered(board, 'a', 4);
  expect(takeAll(share)).toBe(3);
  board.leave(place);
  expect(takeAll(entered(board, 'a', 4).share)).toBe(3);
});

it('layers beyond those that there is a place for do without', () => {
  const board = new ConnectionBoard();
  const places = Array.from({ length: 200 }, () => board.enter('a', 4));
  expect(places.filter((place) => place === undefined).length).toBeGreaterThan(0);
  expect(places[0]).toBeDefined();
});
