// Values that change, in the form that RxJS, WatermelonDB's `withObservables` and React understand.

declare global {
  interface SymbolConstructor {
    readonly observable: symbol
  }
}

export interface Observer<T> {
  next?: (value: T) => void
  error?: (error: unknown) => void
  complete?: () => void
}

export interface Subscription {
  unsubscribe(): void
}

/** The current value, and each later one. A subscriber gets the current one at once. */
export interface Observable<T> {
  readonly value: T
  subscribe(observer: Observer<T> | ((value: T) => void)): Subscription
}

/** An observable with the right to set its value. Setting an equal value (as JSON) tells nobody. */
export class Subject<T> implements Observable<T> {
  #value: T
  #text: string
  readonly #observers = new Set<(value: T) => void>()

  constructor(value: T) {
    this.#value = value
    this.#text = JSON.stringify(value)
    // RxJS looks for the symbol, or for this name where nothing defines the symbol.
    const itself = (): this => this
    Object.defineProperty(this, Symbol.observable ?? '@@observable', { value: itself })
    if (Symbol.observable) Object.defineProperty(this, '@@observable', { value: itself })
  }

  get value(): T {
    return this.#value
  }

  set(value: T): void {
    const text = JSON.stringify(value)
    if (text === this.#text) return
    this.#value = value
    this.#text = text
    for (const observer of [...this.#observers]) observer(value)
  }

  subscribe(observer: Observer<T> | ((value: T) => void)): Subscription {
    const next = (value: T): void => (typeof observer === 'function' ? observer(value) : observer.next?.(value))
    this.#observers.add(next)
    next(this.#value)
    return { unsubscribe: () => void this.#observers.delete(next) }
  }
}
