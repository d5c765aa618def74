/** Numbers from a seed: the same for the same seed. */
export class Random {
  constructor(seed) {
    this.state = (seed * 0x9e3779b1) >>> 0
  }

  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let mixed = this.state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  chance(probability) {
    return this.next() < probability
  }

  below(limit) {
    return Math.floor(this.next() * limit)
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  /** One of the names, by weight. */
  weighed(weights) {
    const names = Object.keys(weights)
    let left = this.next() * names.reduce((sum, name) => sum + weights[name], 0)
    return names.find((name) => (left -= weights[name]) < 0) ?? names.at(-1)
  }
}
