import { AppState } from 'react-native'
import NetInfo from '@react-native-community/netinfo'
import type { Signal } from '@trueppm/sync'

/** Whether there is a network. A sync follows when it comes back. */
export const network: Signal = (listener) => NetInfo.addEventListener(({ isConnected }) => listener(isConnected === true))

/** Whether the app is in the foreground. A sync follows when it comes there. */
export const appState: Signal = (listener) => {
  const subscription = AppState.addEventListener('change', (state) => listener(state === 'active'))
  return () => subscription.remove()
}
