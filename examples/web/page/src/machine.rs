//! The devices that the browser offers.

use cellstate::Device;
use wasm_bindgen::prelude::*;

use crate::words;

/// A device that networks can run on.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Machine {
    pub(crate) device: Device,
    is_chosen: bool,
}

/// The browser's GPU, if it offers one, and the CPU.
#[wasm_bindgen]
pub async fn machines() -> Result<Vec<Machine>, JsError> {
    let chosen = Device::auto_async().await.name();
    let mut devices = vec![Device::cpu()];
    for name in Device::adapters_async().await {
        devices.push(Device::named_async(&name).await.map_err(words)?);
    }
    let machine = |device: Device| Machine {
        is_chosen: device.name() == chosen,
        device,
    };
    Ok(devices.into_iter().rev().map(machine).collect())
}

#[wasm_bindgen]
impl Machine {
    /// Whether it is the one that `Device::auto_async` takes.
    #[wasm_bindgen(getter = isChosen)]
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    #[wasm_bindgen(getter = isGpu)]
    pub fn is_gpu(&self) -> bool {
        self.device.gpu().is_some()
    }

    /// Whether a program on the CPU plays the GPU.
    #[wasm_bindgen(getter = isSoftware)]
    pub fn is_software(&self) -> bool {
        let kind = self.device.gpu().map(|gpu| gpu.info().device_type);
        kind == Some(wgpu::DeviceType::Cpu)
    }
}
