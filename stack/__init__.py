"""The one-machine stack: everything virtscale needs on one host, and the `virtscale` command.

Reading order: values (`paths`, `settings`, `numbers`, `masking`), pure decisions (`arrivals`,
`calibration`, `restart`, `journal`, `summary`), adapters (`client`, `domains`, `supervisor`,
`scaler_api`, `instant_query`), loops (`bring_up`, `load`, `monitor`, `wind_down`, `console`),
`commands`, `__main__`.
"""
