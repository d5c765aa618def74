import { Platform } from 'react-native'
import { openDatabase } from './database'
import { openSync } from './sync'

/** The server on your machine. From the Android emulator it has another address. */
const BASE_URL = Platform.select({ android: 'http://10.0.2.2:8080', default: 'http://127.0.0.1:8080' })
const TOKEN = 'the token that the server printed'

/** The project that `trueppm demo` makes. */
export const PROJECT = 'demo'

/** One database and one sync for the whole app. Reload the app after a change of this file. */
export const database = openDatabase()
export const sync = openSync(database, { baseUrl: BASE_URL, token: () => TOKEN })
